"""From what the operator wrote to rules with every reference resolved."""

from __future__ import annotations

import pytest
from policy_bench import SHIPPED

from smsproxy.policy.strategies import MAX_IDS_KEPT, MIN_IDS_KEPT, Rule, Rulebook, Strategy


def rules(*strategies: Strategy) -> dict[str, Rule]:
    book = Rulebook(strategies)
    found = {strategy.name: book.get(strategy.name) for strategy in strategies}
    return {name: rule for name, rule in found.items() if rule is not None}


def test_the_shipped_strategies_fit_together() -> None:
    book = Rulebook(SHIPPED)
    assert len(book) == 4
    assert "cp1" in book
    assert "cp9" not in book
    assert book.get("cp9") is None


def test_a_strategy_counts_in_the_family_and_scope_of_the_one_it_counts_as() -> None:
    found = rules(
        Strategy("a", daily_max=2, weekly_max=9, duplicate_window_s=60, scope="recipient_app"),
        Strategy("b", counts_as="a", scope="recipient"),
        Strategy("c", counts_as="b", daily_max=5, duplicate_window_s=10),
        Strategy("d", counts_as="d", daily_max=2),
    )
    assert found["b"].tag == found["a"].tag == found["c"].tag != found["d"].tag
    assert found["b"].scope == "recipient_app"
    assert (found["b"].daily_max, found["b"].weekly_max, found["b"].window_s) == (2, 9, 60)
    assert (found["c"].daily_max, found["c"].weekly_max, found["c"].window_s) == (5, None, 10)
    assert found["c"].window_kept_s == 60


def test_counters_of_another_scope_have_another_tag() -> None:
    tags = {
        rules(Strategy("a", daily_max=1, scope="recipient"))["a"].tag,
        rules(Strategy("a", daily_max=1, scope="recipient_app"))["a"].tag,
        rules(Strategy("a", daily_max=1, scope="recipient_sender"))["a"].tag,
    }
    assert len(tags) == 3


@pytest.mark.parametrize(
    ("strategy", "kept"),
    [
        (Strategy("a", daily_max=1, weekly_max=3), MIN_IDS_KEPT),
        (Strategy("a", daily_max=20), 140),
        (Strategy("a", daily_max=20, weekly_max=100), 100),
        (Strategy("a", weekly_max=500), 500),
        (Strategy("a", daily_max=1_000_000), MAX_IDS_KEPT),
    ],
)
def test_every_message_that_a_sane_cap_lets_through_is_remembered(strategy: Strategy, kept: int) -> None:
    found = rules(strategy, Strategy("counting", counts_as="a", mode="count", weekly_max=1))
    assert found["a"].ids_kept == found["counting"].ids_kept == kept


@pytest.mark.parametrize(
    ("strategies", "fault"),
    [
        ((Strategy("a", counts_as="b"),), "a counts as b, which does not exist"),
        ((Strategy("a", counts_as="b"), Strategy("b", counts_as="a")), "a counts as itself by way of b"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(strategies: tuple[Strategy, ...], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Rulebook(strategies)

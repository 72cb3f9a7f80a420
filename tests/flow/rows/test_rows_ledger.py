"""The ledger check itself: it passes what is exact and finds each kind of difference."""

from __future__ import annotations

import pytest
from rows_kit import Campaign, check_ledger

from smsproxy.simulator.entry import Entry
from tests.flow.kit import M


def a_submit(text: str, answer: int | None = 0) -> Entry:
    return Entry(
        at=0.0, session=1, system_id="row", direction="in", command="submit_sm", sequence_number=1,
        command_status=0, answer=answer, source="MYBRAND", destination="998901234567", octets=text.encode(),
    )  # fmt: skip


def a_campaign(*statuses: str) -> Campaign:
    """Messages that ended so, in order."""
    campaign = Campaign.of(len(statuses))
    for key, status in zip(campaign.texts, statuses, strict=True):
        campaign.note(M["SmsResponse"](transaction_id=key, status=status))
    return campaign


FIRST = a_submit("row message 0")


@pytest.mark.parametrize(
    ("status", "entries"),
    [
        ("submitted", [FIRST]),
        ("submitted", [a_submit("row message 0", 0x58), FIRST]),
        ("unknown", [a_submit("row message 0", None)]),
        ("unknown", []),
        ("unavailable", []),
        ("rejected", [a_submit("row message 0", 0x0B)]),
    ],
)
def test_an_exact_ledger_passes(status: str, entries: list[Entry]) -> None:
    check_ledger(a_campaign(status), entries)


@pytest.mark.parametrize(
    ("status", "entries"),
    [
        ("submitted", []),
        ("submitted", [FIRST, FIRST]),
        ("submitted", [a_submit("row message 0", None)]),
        ("unavailable", [a_submit("row message 0", None)]),
        ("rate_limited", [FIRST]),
        ("unknown", [a_submit("never sent")]),
    ],
)
def test_a_difference_is_found(status: str, entries: list[Entry]) -> None:
    with pytest.raises(AssertionError):
        check_ledger(a_campaign(status), entries)


def test_a_request_without_an_end_is_found() -> None:
    campaign = a_campaign("submitted")
    campaign.texts["lost"] = "lost"
    with pytest.raises(AssertionError, match="without an end"):
        check_ledger(campaign, [FIRST])

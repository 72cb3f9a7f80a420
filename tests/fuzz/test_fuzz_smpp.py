"""The fuzz runner, short in `make test`, longer in `make flow`, a million inputs in `make soak`."""

from __future__ import annotations

import os

import pytest

from tests.fuzz import run, target
from tests.fuzz.inputs import corpus, inputs

LONG_RUN = 1_000_000 if os.environ.get("SMSPROXY_SOAK") else 20_000


def test_every_valid_pdu_is_parsed() -> None:
    assert {target.check(octets) for octets in corpus()} <= {"parsed", "refused"}
    assert sum(target.check(octets) == "parsed" for octets in corpus()) > len(corpus()) / 2


def test_a_seed_gives_the_same_inputs_again() -> None:
    assert list(inputs(50, seed=7)) == list(inputs(50, seed=7)) != list(inputs(50, seed=8))


def test_a_thousand_inputs_are_parsed_or_refused_by_name() -> None:
    outcomes = run.run(1000, seed=1).outcomes
    assert set(outcomes) == {"parsed", "refused", "lost"}


def test_a_broken_promise_is_told_with_its_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> object:
        raise IndexError("out of range")

    monkeypatch.setattr(target, "decode", broken)
    with pytest.raises(
        run.FuzzError, match=r"input \d+ of seed 1: IndexError\('out of range'\) on [0-9a-f]+"
    ):
        run.run(100, seed=1)


def test_memory_that_grows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter((100.0, 200.0))
    monkeypatch.setattr(run, "rss_mib", lambda: next(sizes))
    with pytest.raises(run.FuzzError, match="memory is not flat"):
        run.run(10, seed=1)


@pytest.mark.long
def test_many_inputs_are_parsed_or_refused_by_name_and_memory_stays_flat() -> None:
    assert sum(run.run(LONG_RUN, seed=LONG_RUN).outcomes.values()) == LONG_RUN

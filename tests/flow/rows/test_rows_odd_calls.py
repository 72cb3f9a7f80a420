"""Rows 16, 18 and 20 of the reliability matrix: odd deadlines, sizes and headers beside the held load.

`odd_caller` makes the calls, in a process of its own; none of them may hang, reach the SMSC when it said that
it did not, or be met by the load beside it. Times as everywhere: as the matrix prints them in a soak, at
five times their figure else.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from held_load import HeldLoad, percentile
from held_pool import LINKS, SLACK, HeldPool
from odd_caller import AT_ONCE, HEADERS, LARGE, SIZES, TIMEOUTS, Ended
from rows_kit import SOAK, Campaign, Growth, check_ledger, metrics, together

from tests.flow.kit import M, Process, running

SECONDS = 60 if SOAK else 4
BEFORE_S = 30 if SOAK else 1
"""Of the load alone: connections are made, caches are warm, and the daemon has the size that it keeps."""
AT_ONCE_S = 0.1
"""At p99: the load has both cores busy, and whoever is measured waits for one, too."""
GROWTH_MIB = 20
OK, INVALID, DEADLINE, EXHAUSTED, UNAUTHENTICATED, CLOSED = 0, 3, 4, 8, 16, -2
WORDS = {"EXPIRED": "expired", "IN_DOUBT": "unknown", "UNAUTHENTICATED": "unauthenticated"}
"""The status word that a reason stands for (docs/errors.md); `invalid` where there is none here."""


class Odd:
    """The odd calls of one kind beside the held load: what became of them, and the daemon's growth."""

    def __init__(self, kind: str, held: HeldPool) -> None:
        self._arguments = [
            "-m", "tests.flow.rows.odd_caller", kind, held.daemon.target, str(SECONDS), str(held.folder),
        ]  # fmt: skip
        self._folder = held.folder
        self.calls: list[Ended] = []
        self.growth = Growth(held.daemon.process.pid)

    def run(self, load: HeldLoad) -> None:
        """From start to end; the load goes on meanwhile, and ends with it."""
        self.growth.alone(BEFORE_S)
        with running(Process(self._arguments, program=[sys.executable])) as process:
            until = time.monotonic() + SECONDS + 60
            while not process.count_lines("done"):
                assert process.process.poll() is None, process.lines
                assert time.monotonic() < until, process.lines
                self.growth.beside()
                time.sleep(0.1)
        load.stop()
        lines = (self._folder / "calls.jsonl").read_text().splitlines()
        self.calls = [Ended(**json.loads(line)) for line in lines]

    def of(self, *cases: str) -> list[Ended]:
        return [call for call in self.calls if call.case in cases]

    def campaign(self) -> Campaign:
        """Those of the calls that were whole messages, as the ledger has it."""
        found = Campaign({})
        for call in self.calls:
            if call.key:
                found.texts[call.key], found.numbers[call.key] = call.text, call.daddr
                found.note(said_of(call))
        return found


def said_of(call: Ended) -> Any:
    if call.code == OK:
        return M["SmsResponse"].FromString(bytes.fromhex(call.answer))
    return M["SmsResponse"](transaction_id=call.key, status=WORDS.get(call.reason, "invalid"))


def beside_the_held_load(
    kind: str, folder: Path, tables: dict[str, Any] | None = None, links: int = LINKS
) -> tuple[Odd, dict[str, float]]:
    """The odd calls once they are over, and the daemon's counters; the ledger is exact, the load whole."""
    with HeldPool(folder, {}, links=links, tables=tables) as held:
        with held.load(SECONDS + BEFORE_S + 60) as load:
            odd = Odd(kind, held)
            odd.run(load)
        told = metrics(folder / "http.sock")
        log = "\n".join(held.daemon.lines)
        entries = held.entries()
    check_ledger(together(load.campaign, odd.campaign()), entries, held.config)
    waits = load.waits()
    print(f"held load {len(waits)}, p99 {1000 * waits[int(0.99 * len(waits))]:.0f} ms: {load.campaign.ends}")
    print(odd.growth)
    assert set(load.campaign.ends) == {"submitted"}
    assert '"level": "error"' not in log
    assert told["smsproxy_grpc_internal_errors_total"] == 0
    return odd, told


def told_within(calls: Iterable[Ended], share: float = 1.0) -> float:
    """Seconds that this share of the calls waited at most."""
    return percentile(sorted(call.waited_s for call in calls), share)


def in_words(calls: list[Ended], after_s: float = 0.0) -> str:
    p99_ms, most_ms = (1000 * (told_within(calls, share) - after_s) for share in (0.99, 1.0))
    return f"n {len(calls)}, p99 {p99_ms:.0f} ms, at most {most_ms:.0f} ms"


@pytest.mark.long
def test_row_16_odd_deadlines_end_at_once_or_on_time_and_an_expired_request_is_never_sent(
    tmp_path: Path,
) -> None:
    tables = {
        "server": {"default_deadline_s": 1},
        "limits": {"max_wait_ms": 60_000},
        "pools.1000": {"members": [{"link": 100 + number} for number in range(LINKS)]},
        "links.104": {"rate_per_s": 1, "burst": 1},
    }
    odd, _ = beside_the_held_load("timeouts", tmp_path, tables, links=LINKS + 1)
    due_s = {"1 ms": 0.001, "50 ms": 0.05, "50 ms in vain": 0.05, "none in vain": 1.0}
    allowed = {
        "0": {(DEADLINE, "EXPIRED")}, "hours": {(OK, "")},
        "400 digits": {(INVALID, "BAD_REQUEST")}, "junk": {(INVALID, "BAD_REQUEST")},
    }  # fmt: skip
    either = {(OK, ""), (DEADLINE, "EXPIRED"), (DEADLINE, "IN_DOUBT")}
    for case in TIMEOUTS:
        calls = odd.of(case)
        ends = Counter((call.code, call.reason) for call in calls)
        refused = [call for call in calls if call.code != OK]
        print(f"{case}: {dict(ends)}, late by: {in_words(refused or calls, due_s.get(case, 0.0))}")
        assert calls
        assert set(ends) <= allowed.get(case, either)
        if refused:
            assert told_within(refused, 0.99) - due_s.get(case, 0.0) <= AT_ONCE_S * SLACK
        assert ends[DEADLINE, "EXPIRED"] > 0 or "in vain" not in case


@pytest.mark.long
def test_row_18_messages_that_are_too_large_are_refused_at_their_prefix_and_cost_nothing(
    tmp_path: Path,
) -> None:
    odd, told = beside_the_held_load("sizes", tmp_path)
    large = [call for call in odd.calls if call.case != "after"]
    print(f"too large: {in_words(large)}")
    assert {call.case for call in large} == {f"{size} {pace}" for size in SIZES for pace in ("fast", "slow")}
    assert {(call.code, call.reason) for call in large} == {(EXHAUSTED, "MESSAGE_TOO_LARGE")}
    assert told_within(large, 0.99) <= AT_ONCE_S * SLACK
    assert len(large) == AT_ONCE * len(odd.of("after"))
    assert {call.code for call in odd.of("after")} == {OK}  # on the very same connection
    assert told["smsproxy_grpc_messages_oversized_total"] == len(large)
    assert odd.growth.mib <= GROWTH_MIB


@pytest.mark.long
def test_row_20_headers_against_the_rules_are_answered_and_their_siblings_never_notice(
    tmp_path: Path,
) -> None:
    odd, _ = beside_the_held_load("headers", tmp_path)
    codes = {case: {(INVALID, "BAD_REQUEST")} for case in HEADERS}
    codes |= {case: {(UNAUTHENTICATED, "UNAUTHENTICATED")} for case in ("two authorizations", "two app_ids")}
    for case, wanted in codes.items():
        assert {(call.code, call.reason) for call in odd.of(case)} == wanted, case
    for case in LARGE:  # more than the list may have: the connection is ended, with a reason
        assert {(call.code, call.reason) for call in odd.of(case)} == {(CLOSED, "GOAWAY 11")}, case
    answered, closed = odd.of(*HEADERS), odd.of(*LARGE)
    siblings = odd.of("sibling call", "sibling stream", "sibling stream's end")
    print(f"answered: {in_words(answered)}; closed: {in_words(closed)}; {len(siblings)} siblings")
    assert told_within([*answered, *closed]) <= 1 * SLACK
    assert len(siblings) > SECONDS
    assert {call.code for call in siblings} == {OK}

"""How fast a link is: a full window, an OTP beside a campaign, an SMSC that leaves submits unanswered.

Every figure is printed (`pytest -rP`). In `make flow` the runs are short and the bounds are loose, because
machines are shared; at full length (SMSPROXY_SOAK=1) the bounds are the promises themselves.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rows_kit import SOAK, Campaign, check_ledger, together
from rows_load import Calls, percentile, pump, rate_between, run, spread

from smsproxy.simulator import ledger
from smsproxy.simulator.entry import Entry
from tests.bench.wire_log import read_wire
from tests.flow.kit import Config, Daemon, Process, Smsc, running

SMSC_S = 0.05
WINDOW, SESSIONS = 50, 4
FOUR_SESSIONS = {"window": WINDOW, "sessions": SESSIONS}


@pytest.mark.long
def test_four_full_windows_are_turned_over_once_per_smsc_latency_and_commit(tmp_path: Path) -> None:
    """The rate is sessions x window / (latency + one commit): a slot is held from before its intent's commit.

    Second by second, ramp up and end left out. What else runs on the machine takes from a second and adds to
    none: at full length, on a machine of its own, the median one must be near the bound; else the best one.
    The SMSC is one that costs next to nothing: the simulator would take the time of half a core.
    """
    campaign = Campaign.of(120_000 if SOAK else 16_000)
    commit_s = one_commit(tmp_path)
    with running(LateSmsc(tmp_path, SMSC_S)) as smsc:
        config = Config(tmp_path, smsc.port, {"links.100": FOUR_SESSIONS}).write()
        with running(Daemon(config)) as daemon:
            wait_sessions(daemon)
            run(pump(daemon.target, campaign, timeout_s=300))
        entries = smsc.entries()
    times = [entry.at for entry in ledger.submits(entries)]
    seconds = range(1, int(times[-1] - times[0]))
    rates = sorted(rate_between(times, times[0] + second, times[0] + second + 1) for second in seconds)
    latency_s = latency_at_smsc(entries)
    bound = SESSIONS * WINDOW / (latency_s + commit_s)
    median, best = statistics.median(rates), rates[-1]
    print(
        f"full window: median second {median:.0f}/s = {median / bound:.1%}, best {best:.0f}/s = "
        f"{best / bound:.1%} of {bound:.0f}/s "
        f"(SMSC latency {latency_s * 1000:.1f} ms on its own wire, one commit {commit_s * 1000:.2f} ms)"
    )
    assert campaign.ends == {"submitted": len(campaign.texts)}
    assert median >= 0.9 * bound if SOAK else best >= 0.5 * bound
    check_ledger(campaign, entries, config)


class LateSmsc(Process):
    """The bench's cheap SMSC, answering `delay_s` after each read."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        self._log = folder / "wire.log"
        super().__init__(
            ["--delay-ms", str(delay_s * 1000), "--log", str(self._log)],
            program=[sys.executable, "-m", "tests.bench.late_smsc"],
        )
        try:
            self.port = int(json.loads(self.wait_line("listening"))["listening"].rpartition(":")[2])
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def entries(self) -> list[Entry]:
        """Every PDU it read or wrote. Stops it first, so that nothing is missing."""
        self.stop()
        return read_wire(self._log)


def one_commit(folder: Path) -> float:
    """What committing a batch of rows to a SQLite file takes on this disk, in seconds: the median of many."""
    database = sqlite3.connect(folder / "probe.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table probe (message_id blob, intent text)")
    rows = [(bytes(16), "x" * 200)] * WINDOW
    took = []
    for _ in range(100):
        started = time.perf_counter()
        database.execute("begin")
        database.executemany("insert into probe values (?, ?)", rows)
        database.execute("commit")
        took.append(time.perf_counter() - started)
    database.close()
    return statistics.median(took)


def latency_at_smsc(entries: list[Entry]) -> float:
    """From a submit_sm read to its answer written, by the SMSC's own log: the median, in seconds."""
    began: dict[tuple[int, int], float] = {}
    took = []
    for entry in entries:
        key = (entry.session, entry.sequence_number)
        if entry.command == "submit_sm":
            began[key] = entry.at
        elif entry.command == "submit_sm_resp" and key in began:
            took.append(entry.at - began.pop(key))
    return statistics.median(took)


def wait_sessions(daemon: Daemon) -> None:
    daemon.wait_count('"event": "link_bound"', SESSIONS)


@pytest.mark.long
def test_an_otp_beside_a_campaign_that_fills_the_link_is_answered_as_if_it_were_alone(tmp_path: Path) -> None:
    """The link takes 200 a second and the campaign more; the OTP's turn comes at the next token."""
    campaign = Campaign.of(60_000 if SOAK else 3000)
    link = {"window": WINDOW, "rate_per_s": 200}
    with running(Smsc(tmp_path / "smsc", {"answer_delay_s": SMSC_S})) as smsc:
        config = Config(tmp_path, smsc.port, {"links.100": link}).write()
        with running(Daemon(config)) as daemon:
            daemon.wait_bound()
            otps = run(a_campaign_with_otps(daemon.target, campaign))
        entries = smsc.entries()
    times = [entry.at for entry in ledger.submits(entries)]
    rate = rate_between(times, times[0] + 1, times[-1])
    over = [late_ms - SMSC_S * 1000 for late_ms in otps.between(0, float("inf"))]
    print(f"campaign of {len(campaign.texts)} and OTPs on a link of 200/s: {rate:.1f}/s")
    print(f"OTPs, over the SMSC's {SMSC_S * 1000:.0f} ms: {spread(over)}")
    assert campaign.ends == {"submitted": len(campaign.texts)}, "slowed, and none lost"
    assert set(otps.campaign.ends) == {"submitted"}
    assert 190 <= rate <= 200 + 200 / (times[-1] - times[0] - 1), "the rate, and one burst after a stall"
    assert percentile(over, 0.99) <= (100 if SOAK else 500)
    check_ledger(together(campaign, otps.campaign), entries, config)


async def a_campaign_with_otps(target: str, campaign: Campaign) -> Calls:
    """The OTPs begin with the campaign and end with it, five a second."""
    otps = Calls(target, "otp", rate_per_s=5)
    calling = asyncio.create_task(otps.run())
    try:
        await pump(target, campaign, timeout_s=600)
    finally:
        otps.stop()
        await calling
    return otps


@pytest.mark.long
def test_a_stream_keeps_its_rate_when_one_submit_in_a_hundred_is_never_answered(tmp_path: Path) -> None:
    """A silent submit holds its slot for response_timeout_s, and all later answers of the stream behind it.

    At 1,000/s and the default of 10 s that is 100 of the 200 slots (the others carry 2,000/s) and 10,000
    answers behind the head (stream_reorder_max is 16,384): nothing of it may slow the stream. `make flow` has
    2 s, so that there is a steady state to measure, and stream_reorder_max in proportion.
    """
    timeout_s, seconds = (10, 60) if SOAK else (2, 5)
    rate_per_s = 1000
    tables = {
        "server": {"stream_reorder_max": 16_384 * timeout_s // 10},
        "links.100": {**FOUR_SESSIONS, "rate_per_s": rate_per_s, "response_timeout_s": timeout_s},
    }
    good = stream_rates(tmp_path / "good", {}, tables, rate_per_s * seconds, settle_s=1)
    silence = {"rules": [{"do": "silent", "every": 100}]}
    count = rate_per_s * (seconds + timeout_s + 1)
    silent = stream_rates(tmp_path / "silent", silence, tables, count, settle_s=timeout_s + 1)
    print(
        f"one in a hundred silent, response_timeout_s {timeout_s}: "
        f"submitted {silent[0]:.0f}/s of {good[0]:.0f}/s = {silent[0] / good[0]:.1%}, "
        f"answered {silent[1]:.0f}/s of {good[1]:.0f}/s = {silent[1] / good[1]:.1%}"
    )
    assert silent[0] >= 0.8 * good[0]
    assert silent[1] >= 0.8 * good[1]


def stream_rates(
    folder: Path, script: dict[str, Any], tables: dict[str, dict[str, Any]], count: int, settle_s: float
) -> tuple[float, float]:
    """One stream in request order: submits/s at the SMSC and answers/s at the caller, once it has settled."""
    campaign = Campaign.of(count)
    with running(Smsc(folder / "smsc", {"answer_delay_s": SMSC_S, **script})) as smsc:
        config = Config(folder, smsc.port, tables).write()
        with running(Daemon(config)) as daemon:
            wait_sessions(daemon)
            answered = run(pump(daemon.target, campaign, timeout_s=300))
        entries = smsc.entries()
    submits = ledger.submits(entries)
    silent = sum(entry.answer is None for entry in submits)
    assert campaign.ends == {"submitted": count - silent, **({"unknown": silent} if silent else {})}
    assert bool(silent) == bool(script)
    check_ledger(campaign, entries, config)
    start, end = submits[0].at + settle_s, submits[-1].at
    return rate_between([entry.at for entry in submits], start, end), rate_between(answered, start, end)

"""A link that fails is felt on no other: its p99 beside the fault against its p99 before, in one run.

Both links have an SMSC and steady traffic of their own, from clients of their own. The base is measured while
both are well, then the fault begins and the load goes on. The house rule for times: `make soak` asserts what
is promised, on a machine of its own; `make flow` a looser bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rows_kit import SOAK, check_ledger, together
from rows_load import Calls, percentile, run, spread

from smsproxy.simulator.entry import Entry
from tests.flow.kit import Config, Daemon, Smsc, running

SCRIPT = {"answer_delay_s": 0.02}
GOOD_PER_S, BAD_PER_S = 200, 40
SECONDS = 30 if SOAK else 5
PROMISE = 2 if SOAK else 5
TIMERS = {"enquire_link_s": 2, "response_timeout_s": 2, "bind_timeout_s": 1}

Fault = Callable[[Path, Smsc], contextlib.AbstractContextManager[list[Smsc]]]


@contextlib.contextmanager
def deaf(folder: Path, smsc: Smsc) -> Iterator[list[Smsc]]:
    """TCP stays open, nobody reads: first the window fills, then the binds hang."""
    os.kill(smsc.process.pid, signal.SIGSTOP)
    try:
        yield []
    finally:
        os.kill(smsc.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def refused(folder: Path, smsc: Smsc) -> Iterator[list[Smsc]]:
    """The sessions end, and nothing listens on the port any more."""
    smsc.stop()
    yield []


@contextlib.contextmanager
def cut_each_second(folder: Path, smsc: Smsc) -> Iterator[list[Smsc]]:
    """RST at as many submits as come in a second."""
    with restarted(folder, smsc, {**SCRIPT, "cut_after_submits": BAD_PER_S}) as other:
        yield [other]


@contextlib.contextmanager
def bind_refused(folder: Path, smsc: Smsc) -> Iterator[list[Smsc]]:
    """The port is open, the account is not."""
    with restarted(folder, smsc, {**SCRIPT, "bind_status": "ESME_RBINDFAIL"}) as other:
        yield [other]


@contextlib.contextmanager
def restarted(folder: Path, smsc: Smsc, script: dict[str, Any]) -> Iterator[Smsc]:
    """The SMSC comes back on its port with another script."""
    smsc.stop()
    with running(Smsc(folder, script, port=smsc.port)) as other:
        yield other


FAULTS = {
    deaf: '"link_down"',
    refused: '"link_connect_failed"',
    cut_each_second: '"link_down"',
    bind_refused: '"link_bind_refused"',
}
"""And what the daemon says of each."""


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_link_that_fails_is_not_felt_on_another_link(tmp_path: Path, fault: Fault) -> None:
    with (
        running(Smsc(tmp_path / "good", SCRIPT)) as good_smsc,
        running(Smsc(tmp_path / "bad", SCRIPT)) as bad_smsc,
    ):
        bad_link = {"host": "127.0.0.1", "port": bad_smsc.port, "system_id": "bad", "password": "x", **TIMERS}
        tables = {"links.101": {**bad_link, "rate_per_s": 0, "reconnect_max_s": 0.2}}
        config = Config(tmp_path, good_smsc.port, tables).write()
        with running(Daemon(config)) as daemon:
            daemon.wait_bound(100)
            daemon.wait_bound(101)
            good, bad = Calls(daemon.target, "good", GOOD_PER_S), Calls(daemon.target, "bad", BAD_PER_S, 101)
            with contextlib.ExitStack() as faults:
                base, beside, others = run(
                    measure(good, bad, lambda: faults.enter_context(fault(tmp_path / "again", bad_smsc)))
                )
            told = daemon.count_lines(FAULTS[fault])
        bad_entries: list[Entry] = [entry for smsc in [bad_smsc, *others] for entry in smsc.entries()]
        good_entries = good_smsc.entries()
    ratio = percentile(beside, 0.99) / percentile(base, 0.99)
    print(f"{fault.__name__}: before {spread(base)}; beside {spread(beside)}; p99 x {ratio:.2f}")
    print(f"  the failing link: {dict(bad.campaign.ends)}, {told} x {FAULTS[fault]}")
    assert told
    assert bad.campaign.ends.total() > bad.campaign.ends["submitted"], "there was no fault"
    assert set(good.campaign.ends) == {"submitted"}
    assert ratio <= PROMISE
    check_ledger(together(good.campaign, bad.campaign), [*good_entries, *bad_entries], config)


async def measure(
    good: Calls, bad: Calls, begin: Callable[[], list[Smsc]]
) -> tuple[list[float], list[float], list[Smsc]]:
    """The good link's latencies before the fault and beside it, and what SMSCs the fault brought."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as calling:
        calling.create_task(good.run())
        calling.create_task(bad.run())
        await asyncio.sleep(1)  # connections are made, caches are warm
        started = loop.time()
        await asyncio.sleep(SECONDS)
        ended = loop.time()
        others = await asyncio.to_thread(begin)
        failing = loop.time()
        await asyncio.sleep(SECONDS)
        failed = loop.time()
        good.stop()
        bad.stop()
    return good.between(started, ended), good.between(failing, failed), others

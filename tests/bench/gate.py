"""`make bench-quick`: has the pipeline become slower? `python -m tests.bench.gate`, about a minute.

Compares ratios to the bare echo, never absolute times: machines differ by the hour, and both sides with them.
The medians of seven pairs must reach 85 % of the committed ones (committed.json); a row that does not is
measured once more before it fails, because rounds of one build spread by a third. Exit code 0 or 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.bench.procs import BenchError
from tests.bench.rows import Row, chosen
from tests.bench.run import measure, pin

COMMITTED = Path(__file__).with_name("committed.json")
SHARE = 0.85
TRIES = 2
_PAIRS, _MESSAGES = 7, 10_000


def verdict(row: str, wanted: float, ratio_of: Callable[[], float]) -> str | None:
    """None when the row is as fast as it was, else a line for people. `ratio_of` measures, twice at most."""
    seen: list[float] = []
    while len(seen) < TRIES:
        seen.append(ratio_of())
        if seen[-1] >= SHARE * wanted:
            return None
    shown = " and ".join(f"{ratio:.2f}" for ratio in seen)
    return f"{row}: {shown} of the echo, below {SHARE:.0%} of the committed {wanted:.2f}"


def main() -> int:
    """Measure every committed row. Returns the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    core = pin(console)
    committed: Mapping[str, float] = json.loads(COMMITTED.read_text())
    options = argparse.Namespace(rounds=_PAIRS, messages=_MESSAGES, keep=False, stored=0)

    def ratio(row: Row) -> float:
        try:
            return statistics.median(measure(row, options, core, console).ratios())
        except BenchError as error:
            console.print(f"{row.name} failed: {error}", style="red", markup=False, highlight=False)
            return 0.0

    rows = chosen(",".join(committed))
    lines = [verdict(row.name, committed[row.name], partial(ratio, row)) for row in rows]
    for line in filter(None, lines):
        console.print(f"slower: {line}", style="red", markup=False, highlight=False)
    return 1 if any(lines) else 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-quick`: has the pipeline become slower? `python -m tests.bench.gate`, a minute.

Compares ratios to the bare echo, never absolute times: machines differ by the hour, and both sides with them.
The medians of seven pairs must reach 85 % of the committed ones (committed.json); a row that does not is
measured once more before it fails, because rounds of one build spread by a third.

Two ratios of a row are looked at: messages per second, and messages per second of the server's CPU. The first
means nothing where others use the same cores, so a busy machine is judged by the second alone, whose
committed figure is one of a busy machine; one CPU for server, load and SMSC judges nothing. Exit code 0 or 1.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from tests.bench.procs import BenchError
from tests.bench.rows import Row, chosen
from tests.bench.run import measure, pin

COMMITTED = Path(__file__).with_name("committed.json")
SHARE = 0.85
TRIES = 2
BUSY = 0.05
"""What others may take of all cores before messages per second are no measure of ours any more."""
_PAIRS, _MESSAGES = 7, 10_000
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Committed(NamedTuple):
    """What a row has once reached, as shares of the echo's."""

    rate: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.rate:.2f} (by CPU {self.cpu:.2f})"


class Seen(NamedTuple):
    """Medians of one measurement of a row, as shares of the echo's."""

    rate: float
    cpu: float
    busy: float = 0.0
    """What others took of the machine meanwhile, 0 to 1."""

    def reaches(self, wanted: Committed) -> bool:
        by_rate = self.rate >= SHARE * wanted.rate or self.busy > BUSY
        return by_rate and self.cpu >= SHARE * wanted.cpu

    def __str__(self) -> str:
        busy = f", others on the machine {self.busy:.0%}" if self.busy > BUSY else ""
        return f"{self.rate:.2f} (by CPU {self.cpu:.2f}{busy})"


def committed() -> dict[str, Committed]:
    """Of each row that is judged."""
    document: Mapping[str, Mapping[str, float]] = json.loads(COMMITTED.read_text())
    return {row: Committed(**figures) for row, figures in document.items()}


def verdict(row: str, wanted: Committed, measured: Callable[[], Seen]) -> str | None:
    """None when the row is as fast as it was, else a line for people. `measured` is asked twice at most."""
    seen: list[Seen] = []
    while len(seen) < TRIES:
        seen.append(measured())
        if seen[-1].reaches(wanted):
            return None
    shown = " and ".join(map(str, seen))
    return f"{row}: {shown} of the echo, below {SHARE:.0%} of the committed {wanted}"


class Strain:
    """How much of the machine's CPU others take, from its making on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._all_s, self._ours_s = _busy_s(), _our_cpu_s()

    def share(self) -> float:
        """Of all cores, 0 to 1. Once our children have ended."""
        wall_s = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return others_share(_busy_s() - self._all_s, _our_cpu_s() - self._ours_s, wall_s)


def others_share(busy_s: float, ours_s: float, wall_s: float) -> float:
    """What others took of `wall_s` core seconds, 0 to 1; what the hypervisor took counts as theirs."""
    return min(1.0, max(0.0, busy_s - ours_s) / wall_s)


def _busy_s() -> float:
    """CPU seconds of all cores that were not idle."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def _our_cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> int:
    """Measure every committed row. Returns the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    core = pin(console)
    if core is None:
        console.print("nothing is judged with one CPU", style="yellow")
        return 0
    wanted = committed()
    options = argparse.Namespace(rounds=_PAIRS, messages=_MESSAGES, keep=False, stored=0)

    def measured(row: Row) -> Seen:
        strain = Strain()
        try:
            result = measure(row, options, core, console)
        except BenchError as error:
            console.print(f"{row.name} failed: {error}", style="red", markup=False, highlight=False)
            return Seen(0.0, 0.0)
        rate, cpu = statistics.median(result.ratios()), statistics.median(result.cpu_ratios())
        seen = Seen(rate, cpu, strain.share())
        console.print(f"{row.name}: {seen} of the echo, committed {wanted[row.name]}", highlight=False)
        return seen

    rows = chosen(",".join(wanted))
    lines = [verdict(row.name, wanted[row.name], partial(measured, row)) for row in rows]
    for line in filter(None, lines):
        console.print(f"slower: {line}", style="red", markup=False, highlight=False)
    return 1 if any(lines) else 0


if __name__ == "__main__":
    sys.exit(main())

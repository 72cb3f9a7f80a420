"""`python -m tests.fuzz.run [--inputs 1000000] [--seed N]`: the promise about any octets, on many of them.

Prints figures. Exit code 0: every input was parsed or refused by a named error, and memory stayed flat;
1: not so, with the input in hex, ready for `tests.fuzz.target.check`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.inputs import inputs
from tests.fuzz.target import check

MAX_GROWTH_MIB = 4.0
"""Over the warm-up. CPython's arenas breathe by a MiB or two; a leak of one PDU an input is over 100 MiB."""
_WARM_UP_SHARE = 0.1


class FuzzError(Exception):
    """A promise was broken; the text says on which octets."""


@dataclass
class Figures:
    """What a run came to."""

    inputs: int
    seconds: float = 0.0
    growth_mib: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        rate = self.inputs / self.seconds
        return (
            f"{self.inputs} inputs in {self.seconds:.1f} s ({rate:.0f}/s): {outcomes}; "
            f"memory grew by {self.growth_mib:.2f} MiB after the warm-up"
        )


def run(count: int, seed: int) -> Figures:
    """Check `count` inputs. Raises FuzzError on the first broken promise, or when memory grew."""
    figures = Figures(count)
    warm = int(count * _WARM_UP_SHARE)
    base = 0.0
    began = time.perf_counter()
    for number, data in enumerate(inputs(count, seed)):
        if number == warm:
            base = rss_mib()
        try:
            figures.outcomes[check(data)] += 1
        except Exception as error:
            raise FuzzError(f"input {number} of seed {seed}: {error!r} on {data.hex()}") from error
    figures.seconds = time.perf_counter() - began
    figures.growth_mib = rss_mib() - base
    if figures.growth_mib > MAX_GROWTH_MIB:
        raise FuzzError(f"memory is not flat: {figures}")
    return figures


def rss_mib() -> float:
    """Resident memory of this process; 0 where there is no /proc to ask."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description="Any octets, checked.")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    try:
        print(run(chosen.inputs, chosen.seed))
    except FuzzError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

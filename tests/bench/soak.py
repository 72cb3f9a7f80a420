"""`make bench-soak SOAK="--seconds 1800 --rate 2000"`: one rate for long; does anything grow or slow down?

Without --rate it is half of what a short trial reaches. One open-loop load (openloop.py) over the whole time;
every ten seconds its rate and latencies, the daemon's memory, files and threads, and the size of its store.
Written to build/soak.json with every sample; the table compares the first part with the last, and gives the
slope of the memory once a third of the time has passed. The run is valid only if every message was answered
with success and each receipt taken: exit code 0, else 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.procs import BenchError, Child
from tests.bench.rows import chosen
from tests.bench.run import BUILD, pin
from tests.bench.sides import PipelineSide

EVERY_S = 10
_SPARE_S = 60.0
_TRIAL_MESSAGES = 20_000
_MAX_MESSAGES = 8_000_000  # what the load's two connections take (load.py)
_CLOSING_PART = 6
"""Rates are those of the first and the last sixth: five minutes of thirty."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Ten seconds, and how the daemon stands at their end."""

    at_s: float
    answered_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    rss_mib: float
    files: int
    threads: int
    store_mib: float


class SoakSide(PipelineSide):
    """The daemon of row `stream` under one long load."""

    def samples(self, rate: float, seconds: int) -> Iterator[Sample]:
        """One each EVERY_S. Raises BenchError at the end unless every message was answered and settled."""
        daemon, before = self._daemon, self._smsc_counts()
        assert daemon is not None
        messages = int(rate * seconds)
        arguments = ["tests.bench.load", "--json", "--messages", str(messages), "--first", "1000000"]
        arguments += ["--timeout-s", str(seconds + _SPARE_S), "--rate", str(rate), "--every-s", str(EVERY_S)]
        load = Child("load", [*arguments, *self._row.load, *self._load], core=None, directory=self._directory)
        try:
            while "answered_per_s" in (line := load.json_line(EVERY_S + _SPARE_S)):
                yield Sample(**line, **self._standing(daemon))
        finally:
            load.stop()
        if line["succeeded"] != messages or line["problems"]:
            raise BenchError(f"not every message succeeded: {line}\n{daemon.log_end()}")
        self._settled(before, messages)

    def _standing(self, daemon: Child) -> dict[str, Any]:
        files, threads = daemon.handles()
        store = sum(path.stat().st_size for path in self._directory.glob("smsproxy.db*"))
        return {
            "rss_mib": daemon.rss_mib(),
            "files": files,
            "threads": threads,
            "store_mib": round(store / (1 << 20), 1),
        }


def main() -> int:
    """Run it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description="One rate for long.")
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--rate", type=float, default=0, help="messages/s; half of the maximum by default")
    args = parser.parse_args()
    if args.seconds < _CLOSING_PART * EVERY_S or args.rate < 0 or args.rate * args.seconds > _MAX_MESSAGES:
        parser.error(
            f"wanted: seconds >= {_CLOSING_PART * EVERY_S}, rate >= 0, at most {_MAX_MESSAGES:,} messages"
        )
    console = Console(width=None if sys.stdout.isatty() else 170)
    try:
        soak(pin(console), args.seconds, args.rate, console)
    except BenchError as error:
        console.print(f"soak failed: {error}", style="red", markup=False, highlight=False)
        return 1
    return 0


def soak(core: int | None, seconds: int, rate: float, console: Console) -> None:
    """Run it, print the table, write build/soak.json. Raises BenchError; its folder then stays for a look."""
    (row,) = chosen("stream")
    BUILD.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="soak-", dir=BUILD))
    side = SoakSide(row, core, directory, "")
    try:
        side.start()
        rate = rate or side.round(_TRIAL_MESSAGES, 0).messages_per_s / 2
        console.print(f"soak: {rate:,.0f} messages/s for {seconds} s; files in {directory}", highlight=False)
        samples = []
        for sample in side.samples(rate, seconds):
            samples.append(sample)
            console.print(_line(sample), highlight=False)
    finally:
        side.stop()
    shutil.rmtree(directory)
    document = {"rate_per_s": rate, "seconds": seconds, **summary(samples)}
    document["samples"] = [asdict(sample) for sample in samples]
    (BUILD / "soak.json").write_text(json.dumps(document, indent=2) + "\n")
    console.print(_table(document))


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """What a reader wants to know of the samples."""
    part = max(len(samples) // _CLOSING_PART, 1)
    settled = samples[len(samples) // 3 :]
    return {
        "rate_first": round(statistics.mean(one.answered_per_s for one in samples[:part]), 1),
        "rate_last": round(statistics.mean(one.answered_per_s for one in samples[-part:]), 1),
        "p99_ms_first": statistics.median(one.p99_ms for one in samples[:part]),
        "p99_ms_last": statistics.median(one.p99_ms for one in samples[-part:]),
        "rss_mib": [samples[0].rss_mib, settled[0].rss_mib, samples[-1].rss_mib],
        "rss_mib_per_hour": slope_per_hour(settled),
        "files": [min(one.files for one in samples), max(one.files for one in samples)],
        "threads": [min(one.threads for one in samples), max(one.threads for one in samples)],
        "store_mib": [samples[0].store_mib, samples[-1].store_mib],
    }


def slope_per_hour(samples: Sequence[Sample]) -> float:
    """MiB of memory an hour, by least squares."""
    fit = statistics.linear_regression([one.at_s for one in samples], [one.rss_mib for one in samples])
    return round(fit.slope * 3600, 1)


def _line(sample: Sample) -> str:
    return (
        f"{sample.at_s:6.0f} s  {sample.answered_per_s:,.0f}/s  p50 {sample.p50_ms:.1f}  "
        f"p99 {sample.p99_ms:.1f}  max {sample.max_ms:.1f} ms  RSS {sample.rss_mib:.1f} MiB  "
        f"files {sample.files}  threads {sample.threads}  store {sample.store_mib:.0f} MiB"
    )


def _table(document: dict[str, Any]) -> Table:
    made = Table(title=f"{document['rate_per_s']:,.0f} messages/s for {document['seconds']} s")
    for column in ("", "first", "last"):
        made.add_column(column, justify="left" if not column else "right")
    rss, files, threads, store = (document[name] for name in ("rss_mib", "files", "threads", "store_mib"))
    made.add_row("messages/s", f"{document['rate_first']:,.1f}", f"{document['rate_last']:,.1f}")
    made.add_row("p99 ms", f"{document['p99_ms_first']:.1f}", f"{document['p99_ms_last']:.1f}")
    made.add_row("RSS MiB", f"{rss[0]:.1f}", f"{rss[2]:.1f}")
    made.add_row("RSS MiB an hour, after a third", "", f"{document['rss_mib_per_hour']:+.1f}")
    made.add_row("files, least and most", str(files[0]), str(files[1]))
    made.add_row("threads, least and most", str(threads[0]), str(threads[1]))
    made.add_row("store MiB", f"{store[0]:,.0f}", f"{store[1]:,.0f}")
    return made


if __name__ == "__main__":
    sys.exit(main())

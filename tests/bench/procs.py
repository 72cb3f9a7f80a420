"""Child processes of the bench: pinned to a core, read by lines, measured through /proc, ended by pid.

Output goes to files of the run's folder, so a child never blocks on a pipe and its log outlives it. Linux
only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_POLL_S = 0.02
_QUIET_STEP_S = 0.25
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The bench cannot go on, or what it measured is not valid; the text is for the user."""


class Child:
    """One `python -m MODULE ...` of ours. `core` None leaves the affinity as the runner's."""

    def __init__(self, name: str, arguments: Sequence[str], *, core: int | None, directory: Path) -> None:
        self.name = name
        self._out = directory / f"{name}.out"
        self._log = directory / f"{name}.log"
        self._read = self._out.stat().st_size if self._out.exists() else 0

        def pin() -> None:
            if core is not None:
                os.sched_setaffinity(0, {core})

        with self._out.open("ab") as out, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=ROOT,
                preexec_fn=pin,
            )

    def __repr__(self) -> str:
        return f"<Child {self.name} pid={self._process.pid} code={self._process.poll()}>"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self._process.send_signal(number)

    def json_line(self, timeout_s: float) -> dict[str, Any]:
        """The next line of its stdout. Raises BenchError when it ends first or is silent for `timeout_s`."""
        self.wait_for(self._has_line, timeout_s, "has said nothing")
        with self._out.open("rb") as out:
            out.seek(self._read)
            line = out.readline()
        self._read += len(line)
        document: dict[str, Any] = json.loads(line)
        return document

    def _has_line(self) -> bool:
        with self._out.open("rb") as out:
            out.seek(self._read)
            return out.readline().endswith(b"\n")

    def wait_for(self, condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        """Poll until `condition`. Raises BenchError when the child ends first, or after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            code = self._process.poll()
            if code is not None and not condition():
                raise BenchError(f"{self.name} ended with code {code}\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} {complaint} within {timeout_s:.0f} s\n{self.log_end()}")
            time.sleep(_POLL_S)

    def exit_code(self, timeout_s: float) -> int:
        """Wait for its own end. Raises BenchError after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} did not end within {timeout_s:.0f} s") from None

    def stop(self, timeout_s: float = 40.0) -> None:
        """SIGTERM, and SIGKILL after `timeout_s`. Never raises for a child that is gone."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far, user and system, in steps of 10 ms."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def wait_until_quiet(self, timeout_s: float) -> None:
        """Return when it is idle (below 8 % of a core), or after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        before = self.cpu_s()
        while time.monotonic() < deadline:
            time.sleep(_QUIET_STEP_S)
            now = self.cpu_s()
            if now - before < 0.08 * _QUIET_STEP_S:
                return
            before = now

    def rss_mib(self) -> float:
        """Resident memory now, MiB."""
        return self._memory_mib("VmRSS:")

    def peak_rss_mib(self) -> float:
        """The most that was ever resident, MiB; kept by the kernel, so no moment is missed."""
        return self._memory_mib("VmHWM:")

    def _memory_mib(self, name: str) -> float:
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return round(int(line.split()[1]) / 1024, 1)
        return 0.0

    def handles(self) -> tuple[int, int]:
        """Open files, and threads."""
        files, threads = (len(os.listdir(f"/proc/{self._process.pid}/{kind}")) for kind in ("fd", "task"))
        return files, threads

    def log_end(self, lines: int = 15) -> str:
        """The last words of its stderr and stdout, for an error text."""
        words = [f"{path}:\n" + "\n".join(_last_lines(path, lines)) for path in (self._log, self._out)]
        return "\n".join(words)


def _last_lines(path: Path, lines: int) -> list[str]:
    return ["  " + line[:300] for line in path.read_text(errors="replace").splitlines()[-lines:]]


def cores() -> tuple[int | None, int | None]:
    """(the measured server's core, the core of all else); (None, None) with one CPU: nothing is pinned."""
    if not sys.platform.startswith("linux"):
        raise BenchError("the bench needs Linux: /proc and sched_setaffinity")
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)

"""`smsproxy smsc`: a simulator that runs until told to stop, with one short line per event.

Called by the command line, which owns signals, options and the terminal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from smsproxy.simulator.script import Script
from smsproxy.simulator.smsc import Smsc
from smsproxy.simulator.truth import TruthLog

MAX_LINES_PER_S = 50
"""What a reader can follow; under load the rest is one number."""
_UNBIND_S = 2.0


class Lines:
    """Passes lines on, at most `max_per_s` of them in a second, and says how many it kept back."""

    def __init__(self, on_event: Callable[[str], None], now: Callable[[], float], max_per_s: int) -> None:
        self._on_event = on_event
        self._now = now
        self._max_per_s = max_per_s
        self._second = 0
        self._said = 0
        self._kept_back = 0

    def say(self, line: str) -> None:
        """One event."""
        second = int(self._now())
        if second != self._second:
            self.settle()
            self._second, self._said = second, 0
        if self._said < self._max_per_s:
            self._said += 1
            self._on_event(line)
        else:
            self._kept_back += 1

    def settle(self) -> None:
        """Say what was kept back."""
        if self._kept_back:
            self._on_event(f"... and {self._kept_back} more events")
            self._kept_back = 0


async def run_simulator(
    host: str,
    port: int,
    script: Script,
    truth_path: Path | None,
    stop: asyncio.Event,
    on_event: Callable[[str], None],
    *,
    max_lines_per_s: int = MAX_LINES_PER_S,
) -> None:
    """Run until `stop` is set: then unbind every session, 2 s at most, and close.

    The first line is ``listening on host:port``, with the real number for port 0; the last ones tell the
    counts. Raises OSError when the port is taken or `truth_path` cannot be opened.
    """
    lines = Lines(on_event, asyncio.get_running_loop().time, max_lines_per_s)
    smsc = Smsc(script, truth=TruthLog(truth_path, ring=0), say=lines.say)
    try:
        real_port = await smsc.start(host, port)
        on_event(f"listening on {f'[{host}]' if ':' in host else host}:{real_port}")
        await stop.wait()
        if smsc.unbind_all():
            try:
                await smsc.wait_for(lambda seen: not seen.bound, _UNBIND_S)
            except TimeoutError:
                on_event("not every ESME answered the unbind")
    finally:
        await smsc.aclose()
        lines.settle()
    if smsc.truth.file_error:
        on_event(smsc.truth.file_error)
    on_event(f"counted: {smsc.counters}")

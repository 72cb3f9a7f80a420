"""What the `store` commands share: the store of a configuration opened for reading, and a bar over its
messages.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from smsproxy import assembly
from smsproxy.cli.failures import failed
from smsproxy.cli.options import seconds_of_ttl
from smsproxy.settings import Settings
from smsproxy.stores.readout import Readout, StoredMessage, Wanted

REFRESH_EVERY = 1000
"""Messages between two steps of the bar."""
_AGO = re.compile(r"[0-9]+[smhd]")


def unix_time_of(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """click's callback for ``12h`` ago, or a moment: to Unix seconds. A moment without a zone is UTC."""
    if value is None:
        return None
    if _AGO.fullmatch(value):
        return time.time() - seconds_of_ttl(ctx, param, value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        words = f"{value!r} is neither a time like 12h nor one like 2026-11-21T09:00"
        raise click.BadParameter(words, ctx, param) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@contextmanager
def opened(settings: Settings) -> Iterator[Readout]:
    """Raises CommandError where the store cannot be read from outside, StoreUnavailableError as it does."""
    readout = assembly.readout(settings)
    if readout is None:
        kind = settings.store.url.kind
        raise failed(f"store.url: {kind}: cannot be read from outside the daemon")
    try:
        yield readout
    finally:
        readout.close()


class Reading:
    """All wanted messages, as SmsInfo would tell them now, under a bar on a terminal's stderr."""

    def __init__(self, readout: Readout, wanted: Wanted, receipt_timeout_s: float, *, quiet: bool) -> None:
        self._readout = readout
        self._wanted = wanted
        self._receipt_timeout_s = receipt_timeout_s
        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __iter__(self) -> Iterator[StoredMessage]:
        total = None if self._bar.disable else self._readout.count(self._wanted)
        task = self._bar.add_task("", total=total)
        now = time.time()
        number = 0
        for number, message in enumerate(self._readout.records(self._wanted), 1):
            message.record.expire(now, self._receipt_timeout_s)
            yield message
            if number % REFRESH_EVERY == 0:
                self._bar.update(task, completed=number)
        self._bar.update(task, completed=number, total=number)

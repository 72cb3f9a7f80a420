"""What the `store` commands share: the store of a configuration opened for reading, and its messages."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from rich.progress import Progress

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


def messages(
    readout: Readout, wanted: Wanted, receipt_timeout_s: float, bar: Progress
) -> Iterator[StoredMessage]:
    """All wanted messages, as SmsInfo would tell them now; the bar tells how many of them."""
    task = bar.add_task("", total=None if bar.disable else readout.count(wanted))
    now = time.time()
    number = 0
    for number, message in enumerate(readout.records(wanted), 1):
        message.record.expire(now, receipt_timeout_s)
        yield message
        if number % REFRESH_EVERY == 0:
            bar.update(task, completed=number)
    bar.update(task, completed=number, total=number)

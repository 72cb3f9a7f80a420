"""`smsproxy store`: what operators ask the record store itself, beside the daemon. `export` is here.

One JSON object a line and message, as SmsInfo would tell it now. Read-only: it runs while the daemon does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from smsproxy.cli.bar import terminal_bar
from smsproxy.cli.failures import one_line_errors
from smsproxy.cli.options import config_option, json_option, settings_of
from smsproxy.cli.output import emit
from smsproxy.cli.store_check import check
from smsproxy.cli.store_reading import messages, opened, unix_time_of
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.ids import id_text
from smsproxy.domain.record import STATE_WORDS
from smsproxy.stores.readout import StoredMessage, Wanted

_STATUSES = list(STATE_WORDS.values())


@click.group()
def store() -> None:
    """Look into the record store: whether it is sound, and what is in it."""


store.add_command(check)


@store.command(epilog="Exit codes: 0 all is written; 2 the store cannot be read, or the file not written.")
@config_option
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write here; the file appears when it is complete. Else to stdout.")  # fmt: skip
@click.option("--since", callback=unix_time_of, metavar="TIME",
              help="Only messages of the last 90s, 15m, 12h or 7d, or since 2026-11-21T09:00.")  # fmt: skip
@click.option("--status", "statuses", multiple=True, type=click.Choice(_STATUSES, case_sensitive=False),
              help="Only messages with this status; may be given again.")  # fmt: skip
@click.option("--app", "app_id", type=click.IntRange(min=1), metavar="ID", help="Only messages of this app.")
@click.option("--link", "link_id", type=click.IntRange(min=1), metavar="ID",
              help="Only messages of this link.")  # fmt: skip
@json_option
def export(
    config: Path | None,
    output: Path | None,
    since: float | None,
    statuses: tuple[str, ...],
    app_id: int | None,
    link_id: int | None,
    as_json: bool,
) -> None:
    """Write what the store knows, a JSON object a line and message.

    Messages that were there when it began, each as SmsInfo would tell it now. It may run while the daemon
    does. Numbers and texts are not in it: the store has none.
    """
    settings = settings_of(config)
    wanted = Wanted(since, app_id, link_id)
    count = 0
    with one_line_errors((StoreUnavailableError,)), opened(settings) as readout, _sink(output) as sink:
        quiet = as_json or (output is None and sys.stdout.isatty())
        with terminal_bar(quiet=quiet) as bar:
            for message in messages(readout, wanted, settings.store.receipt_timeout_s, bar):
                line = as_dict(message)
                if not statuses or line["status"] in statuses:
                    sink.write(json.dumps(line, ensure_ascii=False) + "\n")
                    count += 1
        sink.flush()
    if output is not None and as_json:
        emit({"file": str(output), "messages": count})
    elif output is not None:
        click.echo(f"{output}: {count} messages")


def as_dict(message: StoredMessage) -> dict[str, object]:
    """What a line of the export says. Times are Unix seconds; segments count from 1."""
    record = message.record
    return {
        "message_id": id_text(record.message_id),
        "app_id": record.app_id,
        "link_id": record.link_id,
        "account": message.account,
        "transaction_id": record.transaction_id,
        "task_id": record.task_id,
        "client_sent_at": message.client_sent_at,
        "sent_at": round(record.sent_at, 3),
        "updated_at": round(record.updated_at, 3),
        "status": STATE_WORDS[record.status],
        "segments": [
            {
                "segment_no": number,
                "state": STATE_WORDS[segment.state],
                "smsc_id": segment.smsc_id,
                "reason": segment.reason,
                "updated_at": round(segment.updated_at, 3),
            }
            for number, segment in enumerate(record.segments, 1)
        ],
    }


@contextmanager
def _sink(output: Path | None) -> Iterator[IO[str]]:
    """Where the lines go. A file gets its name when it is whole, and is the owner's alone."""
    if output is None:
        yield sys.stdout
        return
    part = output.with_name(output.name + ".part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as sink:
            yield sink
        part.replace(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

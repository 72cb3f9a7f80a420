"""`smsproxy info`: what became of a message, part by part."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from smsproxy.cli.daemon import client_for, run_async
from smsproxy.cli.failures import EXIT_CODES, SAID_NO
from smsproxy.cli.options import (
    TlsOptions,
    address_option,
    app_of,
    app_option,
    config_option,
    json_option,
    settings_of,
    tls_options,
)
from smsproxy.cli.output import emit, show_status, warn
from smsproxy.client import MessageInfo, NotFoundError, SmsClient


@click.command(epilog=EXIT_CODES)
@click.argument("message_id", metavar="MESSAGE_ID")
@config_option
@app_option
@click.option("--esme", type=click.IntRange(min=1), required=True, metavar="ID",
              help="The link of the answer, or a pool that holds it.")  # fmt: skip
@address_option
@tls_options
@json_option
@click.pass_context
def info(
    ctx: click.Context,
    message_id: str,
    config: Path | None,
    app_id: int | None,
    esme: int,
    address: str | None,
    tls: TlsOptions,
    as_json: bool,
) -> None:
    """Tell what became of a message.

    A message of another app, of another link, and one that never was all read "message not found".
    """
    settings = settings_of(config)
    client = client_for(settings, *app_of(settings, app_id), address, tls=tls)
    found = run_async(_ask(client, message_id, esme))
    if isinstance(found, NotFoundError):
        if as_json:
            emit({"message_id": message_id, "error": str(found)})
        warn(f"smsproxy: {found}")
        ctx.exit(SAID_NO)
    show_info(found, as_json=as_json)


async def _ask(client: SmsClient, message_id: str, esme: int) -> MessageInfo | NotFoundError:
    async with client:
        try:
            return await client.info(message_id, esme)
        except NotFoundError as error:
            return error


def show_info(found: MessageInfo, *, as_json: bool) -> None:
    """A message's state, for people or machines. `send --wait` shows the same."""
    if as_json:
        emit(asdict(found))
        return
    parts = [
        (f"part {number}", " ".join(filter(None, (status, found.reasons.get(number)))))
        for number, status in found.parts.items()
    ]
    show_status(
        found.status,
        [
            ("message_id", found.message_id),
            ("transaction_id", found.transaction_id),
            ("task_id", found.task_id),
            ("submitted", _when(found.sent_at)),
            ("changed", _when(found.updated_at)),
            *parts,
        ],
    )


def _when(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(" ") if unix_s else ""

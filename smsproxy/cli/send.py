"""`smsproxy send`: one message, or a campaign from a CSV file (`send_file`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from smsproxy.cli.campaign_file import CampaignFile, Defaults
from smsproxy.cli.daemon import client_for, run_async
from smsproxy.cli.failures import EXIT_CODES, OK, SAID_NO, failed
from smsproxy.cli.info import show_info
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
from smsproxy.cli.send_file import send_file
from smsproxy.client import MessageInfo, Sms, SmsAnswer, SmsClient

FINAL = frozenset({"DELIVERED", "UNDELIVERABLE", "EXPIRED", "REJECTED"})
FIRST_POLL_S = 0.05
LONGEST_POLL_S = 1.0
_OTHER_FIELDS_BYTES = 512
"""What the other fields of a request may take of `server.max_message_bytes`."""


@click.command(epilog=EXIT_CODES)
@config_option
@app_option
@click.option("--esme", type=click.IntRange(min=1), metavar="ID", help="Link or pool.")
@click.option("--from", "saddr", metavar="SADDR", help="Sender: digits or 1-11 characters.")
@click.option("--to", "daddr", metavar="DADDR", help="Recipient's number.")
@click.option("--text", metavar="TEXT", help="The text.")
@click.option("--strategy", default="", metavar="NAME", help="Contact policy; none when left out.")
@click.option("--task-id", type=click.IntRange(min=0), default=0, metavar="ID", help="Your grouping id.")
@click.option("--transaction-id", metavar="ID", help="Makes it safe to repeat: the same one is sent once.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), metavar="S",
    help="Wait up to S seconds for the final status; anything but DELIVERED exits with 1.",
)  # fmt: skip
@click.option(
    "--file", "file", type=click.Path(path_type=Path), metavar="CSV",
    help="A campaign: columns to, text, from, esme, strategy; options fill in what it leaves out.",
)  # fmt: skip
@address_option
@tls_options
@json_option
@click.pass_context
def send(
    ctx: click.Context,
    config: Path | None,
    app_id: int | None,
    esme: int | None,
    saddr: str | None,
    daddr: str | None,
    text: str | None,
    strategy: str,
    task_id: int,
    transaction_id: str | None,
    wait_s: float | None,
    file: Path | None,
    address: str | None,
    tls: TlsOptions,
    as_json: bool,
) -> None:
    """Send one message, or a campaign from a CSV file.

    A campaign goes over one stream. What was accepted is noted in CSV.sent beside the file; the same command
    again sends only the rest, also after a crash, and nothing twice. To send it all anew, remove that file.
    """
    one = {"--to": daddr, "--transaction-id": transaction_id, "--wait": wait_s}
    if file is not None:
        _refuse(
            [name for name, value in one.items() if value is not None], "is for one message, not for --file"
        )
    else:
        needed = {"--esme": esme, "--from": saddr, "--to": daddr, "--text": text}
        _refuse([name for name, value in needed.items() if value is None], "is missing (or --file)")
    settings = settings_of(config)
    number, app = app_of(settings, app_id)
    client = client_for(settings, number, app, address, tls=tls)
    max_text_bytes = settings.server.max_message_bytes - _OTHER_FIELDS_BYTES
    if file is not None:
        defaults = Defaults(esme or 0, saddr or "", text or "", strategy, task_id)
        ctx.exit(send_file(client, number, CampaignFile(file, defaults, max_text_bytes), as_json=as_json))
    if len((text or "").encode()) > max_text_bytes:
        raise failed(f"--text: has more than {max_text_bytes} octets")
    sms = Sms(esme or 0, saddr or "", daddr or "", text or "", strategy, transaction_id or "", task_id)
    ctx.exit(run_async(_send_one(client, sms, wait_s, as_json=as_json)))


def _refuse(names: Sequence[str], why: str) -> None:
    if names:
        raise click.UsageError(f"{', '.join(names)} {why}")


async def _send_one(client: SmsClient, sms: Sms, wait_s: float | None, *, as_json: bool) -> int:
    async with client:
        answer = await client.send(sms)
        _show(answer, as_json=as_json)
        if wait_s is None or not answer.message_id or answer.status == "rejected":
            return OK if answer.success else SAID_NO
        return await _wait(client, answer, wait_s, as_json=as_json)


def _show(answer: SmsAnswer, *, as_json: bool) -> None:
    """What became of it on stdout; why it did not go on stderr, as every error (spec §7)."""
    if as_json:
        emit(asdict(answer))
    else:
        shown = asdict(answer) | {"sms_ids": " ".join(answer.sms_ids), "repeated": "yes" * answer.repeated}
        del shown["status"], shown["success"], shown["error"]
        show_status(answer.status, shown.items())
    if answer.error:
        warn(f"smsproxy: {answer.error}")


async def _wait(client: SmsClient, answer: SmsAnswer, wait_s: float, *, as_json: bool) -> int:
    """Ask for the message's state, less and less often, until it is final; each change is shown."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + wait_s
    seen: MessageInfo | None = None
    pause_s = FIRST_POLL_S
    while True:
        found = await client.info(answer.message_id, answer.esme)
        if seen is None or (found.status, found.parts) != (seen.status, seen.parts):
            show_info(found, as_json=as_json)
            seen = found
        if found.status in FINAL:
            return OK if found.status == "DELIVERED" else SAID_NO
        if loop.time() + pause_s > give_up_at:
            warn(f"smsproxy: no final status within {wait_s:g} s")
            return SAID_NO
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_POLL_S)

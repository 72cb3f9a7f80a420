"""What `smsproxy send --file` shows around a `Campaign`: faults first, then progress, then the sum."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
from rich.progress import Progress, TextColumn

from smsproxy.cli.bar import terminal_bar
from smsproxy.cli.campaign import Campaign, Tally
from smsproxy.cli.campaign_file import CampaignFile, Row, RowFault
from smsproxy.cli.daemon import run_async
from smsproxy.cli.failures import OK, SAID_NO, CommandError, failed, one_line_errors
from smsproxy.cli.output import emit
from smsproxy.cli.sent_file import SentFile, SentFileError
from smsproxy.client import SmsAnswer, SmsClient

SHOWN_FAULTS = 20
"""Faults of a file are mostly of one kind; the rest is a number."""
SHOWN_REASONS = 20
REFRESH_S = 0.2
_COLUMNS = (TextColumn("{task.fields[rate]:.0f}/s"), TextColumn("refused {task.fields[refused]}"))


def send_file(client: SmsClient, app_id: int, file: CampaignFile, *, as_json: bool) -> int:
    """Send a campaign, or what is left of it; the exit code. Raises CommandError before anything is sent when
    a row cannot be."""
    rows = _check(file)
    tally = Tally(rows)
    with one_line_errors((SentFileError,)), SentFile(Path(f"{file.path}.sent"), app_id) as sent:
        began_at = time.monotonic()
        try:
            with terminal_bar(*_COLUMNS, quiet=as_json) as bar:
                progress = _Progress(bar, rows, as_json=as_json)
                run_async(_send(client, file, sent, tally, progress.on_answer))
                progress.show(tally)
        finally:
            _sum_up(tally, file.path, time.monotonic() - began_at, as_json=as_json)
    return SAID_NO if tally.refused else OK


async def _send(
    client: SmsClient,
    file: CampaignFile,
    sent: SentFile,
    tally: Tally,
    on_answer: Callable[[Row, SmsAnswer, Tally], None],
) -> None:
    campaign = Campaign(file, sent, tally, lambda row, answer: on_answer(row, answer, tally))
    async with client:
        await campaign.run(client)


def _check(file: CampaignFile) -> int:
    """How many rows there are. Raises CommandError with the faults of all that cannot be sent."""
    rows = faulty = 0
    shown: list[str] = []
    for row in file.rows():
        rows += 1
        if isinstance(row, RowFault):
            faulty += 1
            if faulty <= SHOWN_FAULTS:
                shown.append(f"{file.path}: line {row.line}: {row.message}")
    if faulty > SHOWN_FAULTS:
        shown.append(f"{file.path}: ... and {faulty - SHOWN_FAULTS} more")
    if shown:
        raise CommandError(*shown)
    if not rows:
        raise failed(f"{file.path}: has no rows")
    return rows


class _Progress:
    """A bar on a terminal's stderr, or a JSON line per answer, or nothing."""

    def __init__(self, bar: Progress, rows: int, *, as_json: bool) -> None:
        self._as_json = as_json
        self._shown_at = 0.0
        self._bar = bar
        self._task = bar.add_task("", total=rows, rate=0.0, refused=0)

    def on_answer(self, row: Row, answer: SmsAnswer, tally: Tally) -> None:
        """One row has ended."""
        if self._as_json:
            emit({"line": row.line, **asdict(answer)})
            return
        now = time.monotonic()
        if now - self._shown_at >= REFRESH_S:
            self._shown_at = now
            self.show(tally)

    def show(self, tally: Tally) -> None:
        """Where it stands."""
        speed = self._bar.tasks[0].speed or 0.0
        self._bar.update(self._task, completed=tally.done, rate=speed, refused=tally.refused.total())


def _sum_up(tally: Tally, path: Path, seconds: float, *, as_json: bool) -> None:
    """What became of the rows, also when the run was cut short."""
    ended = tally.accepted + tally.refused.total()
    rate = ended / seconds if seconds else 0.0
    if as_json:
        emit(
            {
                "rows": tally.rows,
                "already": tally.already,
                "accepted": tally.accepted,
                "repeated": tally.repeated,
                "refused": dict(tally.refused),
                "rate_per_s": round(rate, 1),
            }
        )
        return
    known = f", {tally.repeated} of them known from before" if tally.repeated else ""
    click.echo(f"{path}: {tally.rows} rows, {rate:.0f}/s")
    click.echo(f"  accepted     {tally.accepted}{known}")
    if tally.already:
        click.echo(f"  passed over  {tally.already}, accepted by an earlier run")
    reasons = tally.reasons.most_common()
    for (status, error), count in reasons[:SHOWN_REASONS]:
        click.echo(f"  {status:<12} {count}  {error}".rstrip())
    others = sum(count for _, count in reasons[SHOWN_REASONS:])
    if others:
        click.echo(f"  refused      {others}  for other reasons; --json tells each row's")
    if tally.done < tally.rows:
        click.echo(f"  not ended    {tally.rows - tally.done}, the same command again goes on with them")

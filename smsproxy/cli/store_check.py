"""`smsproxy store check`: is the store sound, and what is in it by status?"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import click

from smsproxy.cli.bar import terminal_bar
from smsproxy.cli.failures import SAID_NO, one_line_errors
from smsproxy.cli.options import config_option, json_option, settings_of
from smsproxy.cli.output import emit, show_status, warn
from smsproxy.cli.store_reading import messages, opened
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.record import STATE_WORDS
from smsproxy.stores.readout import EVERYTHING


@click.command(epilog="Exit codes: 0 sound; 1 something is wrong with it; 2 it cannot be read.")
@config_option
@click.option(
    "--full", is_flag=True, help="Also compare every index with its table: minutes on a large file."
)
@json_option
@click.pass_context
def check(ctx: click.Context, config: Path | None, full: bool, as_json: bool) -> None:
    """Tell whether the store is sound, and what is in it.

    Findings go to stderr, a line each; sizes, marks and counts by status to stdout. It reads only, and may
    run while the daemon does.
    """
    settings = settings_of(config)
    counts: Counter[str] = Counter()
    oldest = newest = 0.0
    with one_line_errors((StoreUnavailableError,)), opened(settings) as readout:
        found = readout.inspect(full=full)
        if not found.findings:  # else what is in it may not even be readable
            with terminal_bar(quiet=as_json) as bar:
                for record, _, _ in messages(readout, EVERYTHING, settings.store.receipt_timeout_s, bar):
                    counts[STATE_WORDS[record.status]] += 1
                    oldest = min(oldest or record.sent_at, record.sent_at)
                    newest = max(newest, record.sent_at)
    facts = {**found.facts, "messages": counts.total(), "oldest": _when(oldest), "newest": _when(newest)}
    if as_json:
        emit({"ok": not found.findings, "findings": found.findings, **facts, "statuses": counts})
    else:
        show_status("not sound" if found.findings else "sound", [*facts.items(), *counts.most_common()])
    for finding in found.findings:
        warn(f"smsproxy: {found.facts.get('file', 'store')}: {finding}")
    if found.findings:
        ctx.exit(SAID_NO)


def _when(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(" ", "seconds") if unix_s else ""

"""`smsproxy token`: a JWT of an app, for the calls of people and scripts."""

from __future__ import annotations

import math
import time
from pathlib import Path

import click

from smsproxy.auth.base import TokenIssueError
from smsproxy.auth.issue import issue_token
from smsproxy.cli.failures import one_line_errors
from smsproxy.cli.options import app_of, app_option, config_option, json_option, seconds_of_ttl, settings_of
from smsproxy.cli.output import emit


@click.command(epilog="Exit codes: 0 the token is on stdout; 2 no such app, or it has no secret.")
@config_option
@app_option
@click.option("--ttl", "ttl_s", callback=seconds_of_ttl, default="12h", show_default=True, metavar="TIME",
              help="How long it is good: 90s, 15m, 12h, 7d.")  # fmt: skip
@json_option
def token(config: Path | None, app_id: int | None, ttl_s: int, as_json: bool) -> None:
    """Make a token for an app: the JWT alone on stdout, signed with the app's secret."""
    number, app = app_of(settings_of(config), app_id)
    now = time.time()
    with one_line_errors((TokenIssueError,)):
        made = issue_token(app, number, ttl_s, now)
    if as_json:
        emit({"token": made, "app_id": number, "expires_at": math.ceil(now + ttl_s)})
    else:
        click.echo(made)

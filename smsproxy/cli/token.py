"""`smsproxy token`: a JWT of an app, for the calls of people and scripts.

The daemon has the secret of an app with a secret, so its configuration is enough. Of an app with a public key
it has that alone: whoever holds the private key names its file.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import click

from smsproxy.auth.base import TokenIssueError
from smsproxy.auth.issue import issue_token
from smsproxy.cli.failures import one_line_errors
from smsproxy.cli.options import app_of, app_option, config_option, json_option, seconds_of_ttl, settings_of
from smsproxy.cli.output import emit, warn
from smsproxy.settings import Secret
from smsproxy.settings.secrets import read_secret


@click.command(epilog="Exit codes: 0 the token is on stdout; 2 no such app, or no key to sign with.")
@config_option
@app_option
@click.option("--ttl", "ttl_s", callback=seconds_of_ttl, default="12h", show_default=True, metavar="TIME",
              help="How long it is good: 90s, 15m, 12h, 7d.")  # fmt: skip
@click.option("--scope", help='For less than the app may do: "send" or "read".')
@click.option("--key-file", type=click.Path(path_type=Path), metavar="PRIVATE.pem",
              help="The private key of an app with a public key (EdDSA, RS256, ES256).")  # fmt: skip
@json_option
def token(
    config: Path | None,
    app_id: int | None,
    ttl_s: int,
    scope: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Make a token for an app: the JWT alone on stdout, signed with the app's secret or private key."""
    number, app = app_of(settings_of(config), app_id)
    now = time.time()
    with one_line_errors((TokenIssueError, ValueError)):
        private_key = _private_key(key_file) if key_file else None
        made = issue_token(app, number, ttl_s, now, scope, private_key)
    if as_json:
        emit({"token": made, "app_id": number, "expires_at": math.floor(now) + ttl_s})
    else:
        click.echo(made)


def _private_key(path: Path) -> Secret:
    """Raises ValueError with the operator's sentence."""
    key, readable_by_all = read_secret(path)
    if readable_by_all:
        warn(f"{path}: every user of this host can read the key (chmod 600)")
    return key

"""`smsproxy app new`: an app for the configuration, with a fresh secret that nobody has seen.

The secret goes to a file of its own, mode 0600; the entry is printed for a person to paste. Nothing that
exists is touched, neither a file nor the configuration.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import click
from pydantic import ValidationError

from smsproxy.cli.failures import failed, one_line_errors
from smsproxy.cli.options import config_option, json_option, settings_of
from smsproxy.cli.output import emit, warn
from smsproxy.settings import AppSettings, Settings

SECRET_BYTES = 32
"""What HS256 asks for (RFC 7518 §3.2), written in hex: 64 characters that no shell or form changes."""


@click.group()
def app() -> None:
    """Callers of the API."""


@app.command(
    epilog="Exit codes: 0 the secret is written; 2 the file exists, or the configuration has faults."
)
@config_option
@click.option("--id", "app_id", type=click.IntRange(1, 2**63 - 1), metavar="ID",
              help="The app's id; else the one after the highest there is.")  # fmt: skip
@click.option("--name", default="", help="Name for people, in logs and metrics.")
@click.option("--rate", "rate_per_s", type=click.IntRange(0), default=0, metavar="N",
              help="Requests a second; 0 is unlimited.")  # fmt: skip
@click.option("--secret-file", type=click.Path(path_type=Path), metavar="FILE",
              help="Where the secret goes; else app-ID.secret beside the configuration.")  # fmt: skip
@json_option
def new(
    config: Path | None,
    app_id: int | None,
    name: str,
    rate_per_s: int,
    secret_file: Path | None,
    as_json: bool,
) -> None:
    """Make an app with a fresh secret: the secret in a file, the app's entry on stdout, to be pasted."""
    settings = settings_of(config)
    number = _free_id(settings, app_id)
    _check(name, rate_per_s)
    folder = Path(settings.files[0]).absolute().parent
    path = (secret_file or folder / f"app-{number}.secret").absolute()
    with one_line_errors():
        _write_new(path, secrets.token_hex(SECRET_BYTES))
    entry = _entry(number, name, rate_per_s, _shown(path, folder))
    if as_json:
        emit({"app_id": number, "secret_file": str(path), "toml": entry})
        return
    click.echo(entry, nl=False)
    warn(f"The secret is in {path}, for its owner alone; the daemon's user must be able to read it.")
    warn("Paste the entry, run `smsproxy check-config`, reload with SIGHUP, give the app its id and secret.")


def _free_id(settings: Settings, app_id: int | None) -> int:
    if app_id is None:
        return max(settings.apps, default=0) + 1
    if app_id in settings.apps:
        raise failed(f"app {app_id} is in the configuration already")
    return app_id


def _check(name: str, rate_per_s: int) -> None:
    """By the rules that the entry will meet when it is loaded."""
    try:
        AppSettings.model_validate({"name": name, "rate_per_s": rate_per_s})
    except ValidationError as error:
        first = error.errors()[0]
        raise failed(f"{first['loc'][0]}: {first['msg']}") from None


def _write_new(path: Path, secret: str) -> None:
    """Raises FileExistsError rather than overwrite anything; the file is never readable by others."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")


def _shown(path: Path, folder: Path) -> str:
    """As the configuration names it: relative to its folder where it lies in it."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _entry(app_id: int, name: str, rate_per_s: int, secret_file: str) -> str:
    lines = [f"[apps.{app_id}]"]
    if name:
        lines.append(f"name = {json.dumps(name, ensure_ascii=False)}")
    lines.append(f"secret_file = {json.dumps(secret_file, ensure_ascii=False)}")
    if rate_per_s:
        lines.append(f"rate_per_s = {rate_per_s}")
    return "\n".join(lines) + "\n"

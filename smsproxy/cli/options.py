"""Options that several commands share, and how they are read."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from smsproxy.cli.failures import failed
from smsproxy.settings import AppSettings, Settings, default_path, load
from smsproxy.settings.loader import ENVIRONMENT_KEY, SEARCHED

_TTL = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of_ttl(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """click's callback for a time to live: ``90s``, ``15m``, ``12h``, ``7d``."""
    match = _TTL.fullmatch(value)
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{value!r} is not a time like 90s, 15m, 12h or 7d", ctx, param)
    return int(match[1]) * _UNIT_S[match[2]]


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Configuration; else ${ENVIRONMENT_KEY}, else {SEARCHED[0]}, else {SEARCHED[1]}.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON object a line.")
app_option = click.option(
    "--app", "app_id", type=click.IntRange(min=1), metavar="ID",
    help="Which app of the configuration calls; the only one when there is one.",
)  # fmt: skip
address_option = click.option(
    "--address", metavar="HOST:PORT", help="Where the daemon is; else where the configuration listens."
)


_tls_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files for a call over TLS; None where the configuration says enough."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


NO_TLS_OPTIONS = TlsOptions()


def tls_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the three --tls-* options, as one argument `tls`."""

    @functools.wraps(command)
    def with_tls(
        *arguments: Any, tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None, **options: Any
    ) -> None:
        command(*arguments, tls=TlsOptions(tls_ca, tls_cert, tls_key), **options)

    for option in (
        click.option(
            "--tls-key-file", "tls_key", type=_tls_file, metavar="FILE",
            help="Key of --tls-cert-file; not needed when it is in the same file.",
        ),
        click.option(
            "--tls-cert-file", "tls_cert", type=_tls_file, metavar="FILE",
            help="Certificate to show to a daemon that asks for one.",
        ),
        click.option(
            "--tls-ca-file", "tls_ca", type=_tls_file, metavar="FILE",
            help="Use TLS and trust this CA for the name that is dialled; else the certificate of the "
            "configuration's server.tls_cert_file, and no other, is trusted.",
        ),
    ):  # fmt: skip
        option(with_tls)
    return with_tls


def settings_of(config: Path | None) -> Settings:
    """The configuration of this command. Raises ConfigError."""
    return load(default_path(config, os.environ))


def app_of(settings: Settings, app_id: int | None) -> tuple[int, AppSettings]:
    """The app that calls, by its id. Raises CommandError, with the apps there are."""
    known = ", ".join(map(str, settings.apps)) or "none"
    if app_id is None:
        if len(settings.apps) != 1:
            raise failed(f"which app? name one with --app (the configuration has: {known})")
        app_id = next(iter(settings.apps))
    if app_id not in settings.apps:
        raise failed(f"app {app_id} is not in {settings.files[0]} (it has: {known})")
    return app_id, settings.apps[app_id]

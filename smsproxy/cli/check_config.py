"""`smsproxy check-config`: every fault of a configuration at once, or what is in force (secrets masked)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from smsproxy.cli.failures import config_failure
from smsproxy.cli.options import config_option, json_option, settings_of
from smsproxy.cli.output import emit, warn
from smsproxy.policy import blacklist
from smsproxy.settings import ConfigError, Settings, describe, masked


@click.command(epilog="Exit codes: 0 it loads, warnings or not; 2 it does not.")
@config_option
@json_option
def check_config(config: Path | None, as_json: bool) -> None:
    """Tell all faults of a configuration, or what is in force.

    Faults go to stderr, a line each: file: key.path: message. Else every setting goes to stdout as it is in
    force, defaults included and secrets masked, and warnings go to stderr.
    """
    try:
        settings = settings_of(config)
    except ConfigError as error:
        if as_json:
            emit({"ok": False, "faults": [asdict(fault) for fault in error.faults]})
        raise config_failure(error) from None
    for warning in settings.warnings:
        warn(f"warning: {warning}")
    files = [file for file in settings.policy.blacklist.files if Path(file).exists()]
    for problem in blacklist.load(files).problems:
        warn(f"warning: {problem}")
    if as_json:
        emit(_report(settings))
    else:
        click.echo(describe(settings))


def _report(settings: Settings) -> dict[str, object]:
    return {
        "ok": True,
        "files": [str(file) for file in settings.files],
        "warnings": [asdict(warning) for warning in settings.warnings],
        "settings": masked(settings),
    }

"""`smsproxy run`: the command around the daemon (`run`). systemd and `make run` call it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from smsproxy.cli.options import config_option
from smsproxy.cli.run import run as run_daemon
from smsproxy.settings import default_path, load


@click.command(
    epilog="Exit codes: 0 stopped, everything in flight ended; 1 stopped, something was cut off; "
    "2 could not start."
)
@config_option
@click.pass_context
def run(ctx: click.Context, config: Path | None) -> None:
    """Run the daemon in the foreground.

    SIGTERM or Ctrl-C drains and stops it, a second one stops it at once; SIGHUP reads the configuration
    again. Log lines go to stderr: JSON, or coloured ones on a terminal.
    """
    path = default_path(config, os.environ)
    ctx.exit(run_daemon(load(path), path))

"""The `smsproxy` command: the table of its commands, each loaded only when it is called.

`smsproxy --version` and shell completion answer without importing gRPC; the help texts come from this table.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import click

from smsproxy import __version__
from smsproxy.cli.failures import EXIT_CODES, one_line_errors


class Entry(NamedTuple):
    """Where a command lives, and its line in the overview."""

    module: str
    attribute: str
    help: str


COMMANDS: dict[str, Entry] = {
    "run": Entry("smsproxy.cli.serve", "run", "Run the daemon in the foreground."),
    "check-config": Entry(
        "smsproxy.cli.check_config",
        "check_config",
        "Tell all faults of a configuration, or what is in force.",
    ),
    "app": Entry("smsproxy.cli.app", "app", "Make an app with a fresh secret."),
    "token": Entry("smsproxy.cli.token", "token", "Make a token for an app."),
    "send": Entry("smsproxy.cli.send", "send", "Send one message, or a campaign from a CSV file."),
    "info": Entry("smsproxy.cli.info", "info", "Tell what became of a message."),
    "probe": Entry("smsproxy.cli.probe", "probe", "Tell whether a link or pool can submit now."),
    "store": Entry("smsproxy.cli.store", "store", "Check or export the record store."),
    "blacklist": Entry(
        "smsproxy.cli.blacklist",
        "blacklist",
        "Put a number on the blacklist, take it off, look it up.",
    ),
    "smsc": Entry("smsproxy.cli.smsc", "smsc", "Run a local SMSC simulator."),
}


class Commands(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        with one_line_errors():
            return super().invoke(ctx)


@click.group(cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="smsproxy", message="%(prog)s %(version)s")
def cli() -> None:
    """An SMS gateway: gRPC in, SMPP v3.4 out, every receipt recorded."""

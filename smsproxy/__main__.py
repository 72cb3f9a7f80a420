"""`python -m smsproxy` and the `smsproxy` script: hand over to the commands (smsproxy.cli)."""

from __future__ import annotations

import os
import sys

import click

from smsproxy.cli.main import cli

INTERRUPTED = 130
"""What shells make of Ctrl-C: neither the product nor the command line is to blame."""


def main() -> None:
    """Run the command line; exits the process with the command's code (spec §7)."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    try:
        return int(cli.main(arguments, prog_name="smsproxy", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has left: say no more, not even at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    main()

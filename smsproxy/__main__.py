"""`python -m smsproxy` and the `smsproxy` script: hand over to the commands (smsproxy.cli)."""

from __future__ import annotations

from smsproxy.cli.main import cli


def main() -> None:
    """Run the command line; exits the process with the command's code (spec §7)."""
    cli(prog_name="smsproxy")


if __name__ == "__main__":
    main()

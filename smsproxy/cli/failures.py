"""How a command fails: one line for each thing wrong on stderr, exit code 2, never a traceback.

`one_line_errors` is the border: what an operator can cause or meet becomes a `CommandError` there. What is
not in it is a mistake of ours, and may show where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import click

from smsproxy.settings import ConfigError

OK = 0
SAID_NO = 1
"""The product said no: refused, not bound, not found, not delivered in time."""
FAILED = 2
"""Wrong command line or configuration, or the daemon cannot be reached. click's own code, too."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 the product said no; "
    "2 wrong command line or configuration, or the daemon cannot be reached."
)


class CommandError(click.ClickException):
    """Ends the command with `lines` on stderr."""

    exit_code = FAILED

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    def show(self, file: IO[Any] | None = None) -> None:
        for line in self.lines:
            click.echo(line, err=True, file=file)


def failed(message: str) -> CommandError:
    """A failure of one line, with the program's name before it."""
    return CommandError(f"smsproxy: {' '.join(message.split())}")


def config_failure(error: ConfigError) -> CommandError:
    """Every fault a line: ``file: key.path: message``."""
    return CommandError(*map(str, error.faults))


@contextmanager
def one_line_errors(expected: Sequence[type[Exception]] = ()) -> Iterator[None]:
    """Turns `expected`, ConfigError and OSError into a CommandError. A broken pipe is click's business."""
    try:
        yield
    except BrokenPipeError:
        raise
    except ConfigError as error:
        raise config_failure(error) from None
    except tuple(expected) as error:
        raise failed(str(error)) from None
    except OSError as error:
        raise failed(_words(error)) from None


def _words(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what

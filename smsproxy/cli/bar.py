"""The progress bar of commands that take long. Apart from `output`: what draws it is slow to import."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn


def terminal_bar(*columns: ProgressColumn, quiet: bool) -> Progress:
    """A bar with these columns on a terminal's stderr; elsewhere, or when `quiet`, nothing. For `with`."""
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
    )

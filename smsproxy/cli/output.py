"""What commands print: lines for people on a terminal (colours through rich), or one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import click
from rich.console import Console
from rich.text import Text

_GOOD = frozenset({"submitted", "DELIVERED", "bound", "sound"})
_OPEN = frozenset({"submitting", "unknown"})


def emit(value: Mapping[str, object]) -> None:
    """One JSON object on a line of its own."""
    click.echo(json.dumps(value, ensure_ascii=False))


def show_status(status: str, pairs: Iterable[tuple[str, object]] = ()) -> None:
    """A status word, and under it what is known; empty values are left out."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(status, style=_style(status)))
    shown = [(name, str(value)) for name, value in pairs if value not in ("", 0, None)]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        console.print(Text(f"  {name:<{width}}  {value}"))


def warn(line: str) -> None:
    """A line on stderr that is no failure."""
    click.echo(line, err=True)


def _style(status: str) -> str:
    if status in _GOOD:
        return "bold green"
    return "bold yellow" if status in _OPEN else "bold red"

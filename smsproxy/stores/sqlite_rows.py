"""Many rows in one statement: what `executemany` does, at two thirds of its cost (one step, not one a row).

A template has ``{rows}`` where a VALUES list goes. Batches are cut into powers of two, so that at most nine
sizes of each statement stay prepared. Used by the SQLite store's tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

Row = tuple[Any, ...]

_MOST = 256
"""Rows in one statement: past this nothing is gained, and SQLite has a bound of parameters (32,766)."""


def change(connection: sqlite3.Connection, template: str, rows: Sequence[Row]) -> int:
    """Run an INSERT, UPDATE or DELETE; returns how many rows it changed."""
    return sum(connection.execute(*one).rowcount for one in _statements(template, rows))


def select(connection: sqlite3.Connection, template: str, rows: Sequence[Row]) -> list[Row]:
    """Run a SELECT; returns all it found."""
    found: list[Row] = []
    for one in _statements(template, rows):
        found += connection.execute(*one).fetchall()
    return found


def _statements(template: str, rows: Sequence[Row]) -> Iterator[tuple[str, list[Any]]]:
    done = 0
    while done < len(rows):
        count = min(_MOST, 1 << ((len(rows) - done).bit_length() - 1))
        piece = rows[done : done + count]
        yield _statement(template, len(piece[0]), count), list(chain.from_iterable(piece))
        done += count


@cache  # one for each template and power of two
def _statement(template: str, columns: int, count: int) -> str:
    row = f"({','.join('?' * columns)})"
    return template.format(rows=",".join([row] * count))

"""The names of accounts as small numbers: every segment row names one. In the store's thread."""

from __future__ import annotations

import sqlite3


class Accounts:
    """All of them are kept in memory; there are as many as links."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def recover(self, connection: sqlite3.Connection) -> None:
        """Read them again: at open, and after work that was undone."""
        self._numbers = dict(connection.execute("SELECT name, id FROM accounts"))

    def number(self, connection: sqlite3.Connection, name: str) -> int:
        """The number of a name, a new one for a new name."""
        number = self._numbers.get(name)
        if number is None:
            ((number,),) = connection.execute(
                "INSERT INTO accounts (name) VALUES (?) RETURNING id", (name,)
            ).fetchall()
            self._numbers[name] = number
        return number

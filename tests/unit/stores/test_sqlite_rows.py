"""Batches in one statement: every size gives what row by row gives, with few statements."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import hypothesis.strategies as st
from hypothesis import given

from smsproxy.stores import sqlite_rows
from smsproxy.stores.sqlite_rows import change, select


@given(st.integers(0, 1500))
def test_a_batch_of_any_size_is_inserted_counted_and_found(size: int) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        rows = [(n, f"b{n}") for n in range(size)]
        assert change(connection, "INSERT OR IGNORE INTO t VALUES {rows}", rows) == size
        assert change(connection, "INSERT OR IGNORE INTO t VALUES {rows}", [*rows, (-1, "")]) == 1
        wanted = [(n,) for n in range(-5, size, 3)]
        found = select(connection, "SELECT a FROM t WHERE a IN (VALUES {rows})", wanted)
        assert sorted(found) == [one for one in wanted if one[0] >= -1]


def test_few_sizes_of_statement_are_prepared() -> None:
    sqlite_rows._statement.cache_clear()
    with closing(sqlite3.connect(":memory:")) as connection:
        for size in range(1, 1025, 7):
            select(connection, "SELECT * FROM (VALUES {rows})", [(1, 2)] * size)
    assert sqlite_rows._statement.cache_info().currsize == 9

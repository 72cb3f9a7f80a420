"""The files of a configuration: read them, follow `include`, join their tables, remember who said what.

A table is given in one file only; just the tables that hold tables (apps, links, pools, policy and its
strategies) may be spread over several. Who calls: `loader`. Nothing here knows what a key means.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from smsproxy.settings.faults import Fault, KeyPath, Origins, dotted

MAX_FILE_BYTES = 16_777_216  # 100,000 links fit; something endless does not hang us
MAX_FILES = 100
_SHARED_TABLES: frozenset[KeyPath] = frozenset(
    {(), ("apps",), ("links",), ("pools",), ("policy",), ("policy", "strategies")}
)
_AT_LINE = re.compile(r" \(at line (\d+), column (\d+)\)$")

Table = dict[str, object]


@dataclass(slots=True)
class Sources:
    """What the files say, joined. With faults in it, something may be missing from `tables`."""

    origins: Origins
    tables: Table = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)
    """The files by their real paths."""


def read_sources(main: Path) -> Sources:
    """Read a configuration file and all it includes. Never raises for what is in them or missing."""
    sources = Sources(Origins(main))
    _read_into(sources, main, ())
    return sources


def _read_into(sources: Sources, file: Path, parents: tuple[Path, ...]) -> None:
    sources.files.append(file)
    sources.seen.add(file.resolve())
    try:
        table = _read_toml(file)
    except _UnreadableError as error:
        named_by = "" if error.place else _named_by(parents)
        sources.faults.append(Fault(str(file), error.place, error.message + named_by))
        return
    include = table.pop("include", [])
    _join(sources, (), sources.tables, table, file)
    if not (isinstance(include, list) and all(isinstance(name, str) for name in include)):
        sources.faults.append(Fault(str(file), "include", 'must be an array of file names: ["links.toml"]'))
        return
    for name in include:
        _include(sources, file, name, (*parents, file))


def _include(sources: Sources, includer: Path, name: str, parents: tuple[Path, ...]) -> None:
    file = includer.parent / name
    fault = ""
    if "\0" in name:
        fault = "a path has no NUL in it"
    elif file.resolve() in sources.seen:
        fault = f"{file} is included twice"
        if any(file.resolve() == parent.resolve() for parent in parents):
            fault = "include cycle: " + " -> ".join(str(step) for step in (*parents, file))
    elif len(sources.files) >= MAX_FILES:
        fault = f"more than {MAX_FILES} files"
    if fault:
        sources.faults.append(Fault(str(includer), "include", fault))
    else:
        _read_into(sources, file, parents)


def _named_by(includer: tuple[Path, ...]) -> str:
    return f" (named by include in {includer[-1]})" if includer else ""


class _UnreadableError(Exception):
    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


def _read_toml(file: Path) -> Table:
    try:
        with file.open("rb") as opened:
            octets = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise _UnreadableError("", "no such file") from None
    except OSError as error:
        raise _UnreadableError("", f"cannot be read: {error.strerror}") from None
    if len(octets) > MAX_FILE_BYTES:
        raise _UnreadableError("", f"has more than {MAX_FILE_BYTES} octets")
    return _parse_toml(octets)


def _parse_toml(octets: bytes) -> Table:
    if octets.startswith(codecs.BOM_UTF8):
        raise _UnreadableError("line 1", "begins with a byte order mark: save it as UTF-8 without one")
    try:
        return tomllib.loads(octets.decode())
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise _UnreadableError(f"line {line}", "is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), octets) from None
    except RecursionError:
        raise _UnreadableError("", "is nested too deeply") from None


def _syntax_error(message: str, octets: bytes) -> _UnreadableError:
    where = _AT_LINE.search(message)
    if where is None:  # "(at end of document)"
        last = octets.count(b"\n") + 1
        return _UnreadableError(f"line {last}", f"TOML syntax: {message}")
    text = message[: where.start()]
    return _UnreadableError(f"line {where[1]}", f"TOML syntax: {text} (column {where[2]})")


def _join(sources: Sources, at: KeyPath, into: Table, table: Table, file: Path) -> None:
    """Put one file's table into what the files before it gave. The first one wins, the other is a fault."""
    if at and _has_values(into) and _has_values(table):
        first = sources.origins.file(at)
        sources.faults.append(Fault(str(file), dotted(at), f"the table is also in {first}"))
        return
    for key, value in table.items():
        path = (*at, key)
        if key not in into:
            _add(sources, path, into, value, file)
            continue
        there = into[key]
        if path in _SHARED_TABLES and isinstance(there, dict) and isinstance(value, dict):
            _join(sources, path, there, value, file)
        else:
            first = sources.origins.file(path)
            what = "table" if isinstance(value, dict) else "key"
            sources.faults.append(Fault(str(file), dotted(path), f"the {what} is also in {first}"))


def _add(sources: Sources, path: KeyPath, into: Table, value: object, file: Path) -> None:
    """Take a key and note where it came from; a shared table is copied key by key, to note each."""
    if path in _SHARED_TABLES and isinstance(value, dict):
        empty: Table = {}
        into[path[-1]] = empty
        _join(sources, path, empty, value, file)
        sources.origins.set(path, file)
    else:
        into[path[-1]] = value
        sources.origins.set(path, file)


def _has_values(table: Table) -> bool:
    return any(not isinstance(value, dict) for value in table.values())

"""Numbers that are never contacted, from CSV files, and a watch that tells when a file has changed.

One number or ``prefix*`` a line; the first column counts, a leading ``+`` is dropped, ``#`` begins a comment,
a header line is tolerated. Loading blocks (about a second a million lines), so app.py runs it in a thread and
hands the result to the engine. Numbers are personal data: a bad line is named by file and line, never shown.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from os import PathLike, fspath, stat

MAX_DIGITS = 20
"""The longest destination there is (spec §2.5)."""
_PACKED_DIGITS = 18  # with a 1 in front, this many fit into 64 bits
_PER_BUCKET = 16  # numbers of one bucket, on average
MAX_ENTRIES = 10_000_000
"""80 MB of numbers: ten times the largest list we were asked for."""
MAX_NAMED_PROBLEMS = 20

_BOM = b"\xef\xbb\xbf"
_FIRST_COLUMN = re.compile(rb"""\s*["']?\+?([0-9]+)(\*?)["']?\s*(?:[,;\t#]|$)""")
_NOTHING = re.compile(rb"\s*(?:#|$)")
_HEADER = re.compile(rb"""\s*["']?[A-Za-z_]""")


class Blacklist:
    """An immutable set of numbers and prefixes; `Blacklist()` is empty.

    A number is kept as an integer with a 1 in front, so that leading zeros count, in one array: bucket by
    bucket, a bucket being the numbers with the same low bits, sorted. That is 8 bytes a number; a set takes
    66, and twice that while a reload holds the old and the new one.
    """

    __slots__ = ("_long", "_mask", "_numbers", "_prefix_lengths", "_prefixes", "_starts", "problem_count",
                 "problems", "unreadable")  # fmt: skip

    def __init__(
        self,
        numbers: Collection[int] = (),
        long_numbers: Collection[str] = (),
        prefixes: Collection[str] = (),
        problems: Collection[str] = (),
        problem_count: int = 0,
        unreadable: Collection[str] = (),
    ) -> None:
        """`numbers` with the 1 in front, in any order; `long_numbers` are those that do not fit so."""
        self._mask = (1 << (len(numbers) // _PER_BUCKET).bit_length()) - 1
        self._numbers, self._starts = _bucketed(numbers, self._mask)
        self._long = frozenset(long_numbers)
        self._prefixes = frozenset(prefixes)
        self._prefix_lengths = tuple(sorted({len(prefix) for prefix in prefixes}))
        self.problems = tuple(problems)
        """Lines for the log: ``file:line: what is wrong``, the first few of `problem_count`."""
        self.problem_count = problem_count
        self.unreadable = tuple(unreadable)
        """Files that are missing or cannot be read: treated as empty."""

    def __len__(self) -> int:
        return len(self._numbers) + len(self._long) + len(self._prefixes)

    def __repr__(self) -> str:
        numbers = len(self._numbers) + len(self._long)
        return f"<Blacklist numbers={numbers} prefixes={len(self._prefixes)} problems={self.problem_count}>"

    def contains(self, daddr: str) -> bool:
        """Whether `daddr` (digits, without ``+``) is listed or begins with a listed prefix."""
        for length in self._prefix_lengths:
            if daddr[:length] in self._prefixes:
                return True
        if len(daddr) > _PACKED_DIGITS:
            return daddr in self._long
        try:
            key = int("1" + daddr)
        except ValueError:
            return False  # no number at all, so not a listed one
        bucket = key & self._mask
        end = self._starts[bucket + 1]
        at = bisect_left(self._numbers, key, self._starts[bucket], end)
        return at < end and self._numbers[at] == key


class Joined:
    """The lists of several files as one, so that each can be read again by itself."""

    __slots__ = ("_lists",)

    def __init__(self, lists: Iterable[Blacklist]) -> None:
        self._lists = tuple(lists)

    def __repr__(self) -> str:
        return f"<Joined {self._lists!r}>"

    def contains(self, daddr: str) -> bool:
        """Whether one of them contains it."""
        return any(one.contains(daddr) for one in self._lists)


def _bucketed(numbers: Iterable[int], mask: int) -> tuple[array[int], array[int]]:
    """The numbers bucket by bucket, each sorted and without repeats, and where each bucket starts."""
    buckets: list[list[int]] = [[] for _ in range(mask + 1)]
    for number in numbers:
        buckets[number & mask].append(number)
    packed, starts = array("Q"), array("L", (0,))
    for bucket in buckets:
        packed.extend(sorted(set(bucket)))
        starts.append(len(packed))
        bucket.clear()
    return packed, starts


@dataclass(slots=True)
class _Loading:
    """What has been read so far."""

    numbers: array[int] = field(default_factory=lambda: array("Q"))
    long_numbers: set[str] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    unreadable: list[str] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.numbers) + len(self.long_numbers) + len(self.prefixes) >= MAX_ENTRIES

    def problem(self, text: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_NAMED_PROBLEMS:
            self.problems.append(text)

    def read(self, name: str, lines: Iterable[bytes]) -> None:
        """Take all lines of one file."""
        keep = self.numbers.append
        header_possible = True
        for line_no, line in enumerate(lines, 1):
            first = line.split(b",", 1)[0].strip().removeprefix(b"+")
            if first.isdigit() and len(first) <= _PACKED_DIGITS:  # bytes.isdigit knows ASCII digits only
                keep(int(b"1" + first))
                header_possible = False
            elif not _NOTHING.match(line := line.removeprefix(_BOM)):
                if not self._odd_line(line) and not (header_possible and _HEADER.match(line)):
                    self.problem(f"{name}:{line_no}: not a number or prefix* of 1 to {MAX_DIGITS} digits")
                header_possible = False
            if not line_no % 4096 and self.full:
                self.problem(f"{name}:{line_no}: more than {MAX_ENTRIES} entries, the rest is left out")
                return

    def _odd_line(self, line: bytes) -> bool:
        """A line that is not the plain case. False: nothing could be made of it."""
        match = _FIRST_COLUMN.match(line)
        if match is None or len(match[1]) > MAX_DIGITS:
            return False
        digits = match[1].decode()
        if match[2]:
            self.prefixes.add(digits)
        elif len(digits) > _PACKED_DIGITS:
            self.long_numbers.add(digits)
        else:
            self.numbers.append(int("1" + digits))
        return True


def load(paths: Iterable[str | PathLike[str]]) -> Blacklist:
    """Read the files. Blocks; never raises for what is in them or missing: see `problems`, `unreadable`."""
    loading = _Loading()
    for path in paths:
        name = fspath(path)
        try:
            with open(name, "rb") as lines:
                loading.read(name, lines)
        except OSError as error:
            loading.unreadable.append(name)
            loading.problem(f"{name}: {error.strerror or 'cannot be read'}; treated as empty")
    return Blacklist(
        loading.numbers,
        loading.long_numbers,
        loading.prefixes,
        loading.problems,
        loading.problem_count,
        loading.unreadable,
    )


class BlacklistWatch:
    """Tells whether any of the files is another than when it was last asked. The first answer is True."""

    __slots__ = ("_paths", "_seen")

    def __init__(self, paths: Iterable[str | PathLike[str]]) -> None:
        self._paths = tuple(fspath(path) for path in paths)
        self._seen: tuple[tuple[int, int, int] | None, ...] | None = None

    def changed(self) -> bool:
        """Blocks for one stat a file. Ask before loading: what changes meanwhile is then seen next time."""
        now = tuple(_fingerprint(path) for path in self._paths)
        changed = now != self._seen
        self._seen = now
        return changed


def _fingerprint(path: str) -> tuple[int, int, int] | None:
    try:
        status = stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino

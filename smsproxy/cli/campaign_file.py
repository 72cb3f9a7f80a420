"""A campaign as a CSV file: who gets which text.

With a header: columns in any order, by the names below; others are ignored. Without one: numbers, or numbers
and texts. What a row does not give comes from the command line. UTF-8, with commas, semicolons or tabs. Every
fault of the file is told before the first message is sent. Who calls: `campaign`.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from smsproxy.client import Sms

COLUMNS: dict[str, str] = {
    "to": "to", "daddr": "to", "number": "to", "phone": "to", "msisdn": "to",
    "text": "text", "message": "text",
    "from": "from", "saddr": "from", "sender": "from",
    "esme": "esme", "strategy": "strategy", "transaction_id": "transaction_id", "task_id": "task_id",
}  # fmt: skip
"""Names a header may use, and what they mean."""
_HEADERLESS = ("to", "text")
_DELIMITERS = ",;\t"
_KEY_BYTES = 12
"""96 bits: among ten million rows a collision has a chance of 10^-15."""
_MAX_NUMBER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the command line gives for every row that does not say otherwise."""

    esme: int = 0
    saddr: str = ""
    text: str = ""
    strategy: str = ""
    task_id: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One message of a campaign."""

    line: int
    """Where it ends in the file."""
    sms: Sms
    """With the row's own transaction_id, empty when it gives none."""
    key: str
    """The same in every run: made of number and text (and transaction_id), and of how many equal rows came
    before. Not of the line, so that a row that is added or removed above does not make another one of it."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row that cannot be sent."""

    line: int
    message: str


class CampaignFile:
    """A file that can be read several times, row by row: it need not fit in memory."""

    def __init__(self, path: Path, defaults: Defaults, max_text_bytes: int) -> None:
        self.path = path
        self._defaults = defaults
        self._max_text_bytes = max_text_bytes

    def rows(self) -> Iterator[Row | RowFault]:
        """Raises OSError. A fault in the encoding or the quotes ends the file."""
        seen: dict[bytes, int] = {}
        with self.path.open("rb") as opened:
            delimiter = _delimiter(opened.readline())
            opened.seek(0)
            lines = (octets.decode("utf-8-sig") for octets in opened)  # by line, to know which one is wrong
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            try:
                yield from self._read(reader, seen)
            except UnicodeDecodeError:
                yield RowFault(reader.line_num + 1, "is not UTF-8 text")
            except csv.Error as error:
                yield RowFault(reader.line_num, f"cannot be read: {error}")

    def _read(self, reader: _Reader, seen: dict[bytes, int]) -> Iterator[Row | RowFault]:
        columns: Sequence[str] = ()
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                found = _header(cells)
                if isinstance(found, RowFault):
                    yield found
                    return
                columns, is_header = found
                if is_header:
                    continue
            yield self._row(reader.line_num, columns, cells, seen)

    def _row(
        self, line: int, columns: Sequence[str], cells: Sequence[str], seen: dict[bytes, int]
    ) -> Row | RowFault:
        if any(cells[len(columns) :]):  # empty ones are what spreadsheets leave behind
            count = f"{len(cells)} cells, not {len(columns)}"
            return RowFault(line, f"has {count}: a text with a delimiter in it needs quotes")
        given = {name: cell for name, cell in zip(columns, cells, strict=False) if name and cell.strip()}
        defaults = self._defaults
        esme = _number(given.get("esme", ""), defaults.esme)
        task_id = _number(given.get("task_id", ""), defaults.task_id)
        sms = Sms(
            esme=esme or 0,
            saddr=given.get("from", defaults.saddr).strip(),
            daddr=given.get("to", "").strip(),
            message=given.get("text", defaults.text),
            strategy=given.get("strategy", defaults.strategy).strip(),
            transaction_id=given.get("transaction_id", "").strip(),
            task_id=task_id or 0,
        )
        fault = "task_id is not a number" if task_id is None else self._fault(sms)
        return RowFault(line, fault) if fault else Row(line, sms, _key(sms, seen))

    def _fault(self, sms: Sms) -> str:
        """What keeps a row from being asked about at all; the daemon judges the rest."""
        if not sms.daddr:
            return "no number: column to"
        if not sms.message:
            return "no text: column text, or --text"
        if not sms.saddr:
            return "no sender: column from, or --from"
        if not sms.esme:
            return "no link or pool: column esme, or --esme, a number from 1"
        if len(sms.message.encode()) > self._max_text_bytes:
            return f"the text has more than {self._max_text_bytes} octets"
        return ""


class _Reader(Protocol):
    """csv.reader's type, which has no public name."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...


def _delimiter(first_line: bytes) -> str:
    return max(_DELIMITERS, key=lambda one: first_line.count(one.encode()))


def _header(cells: Sequence[str]) -> tuple[Sequence[str], bool] | RowFault:
    """(columns, whether these cells are the header). A column that means nothing to us is ""."""
    columns = [COLUMNS.get(cell.strip().lower(), "") for cell in cells]
    if "to" in columns:
        doubled = {name for name in columns if name and columns.count(name) > 1}
        return RowFault(1, f"two columns mean {doubled.pop()}") if doubled else (columns, True)
    first = cells[0].strip().removeprefix("+")
    if first.isascii() and first.isdigit():
        return _HEADERLESS[: len(cells)], False
    return RowFault(1, "has no column to (and does not begin with a number): to,text,from,esme,strategy ...")


def _number(text: str, default: int) -> int | None:
    """None for what is no int64."""
    text = text.strip()
    if not text:
        return default
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _MAX_NUMBER else None


def _key(sms: Sms, seen: dict[bytes, int]) -> str:
    """Of what makes a repeat a repeat (spec §2.3). Rows that are equal are meant to be sent as often."""
    content = f"{sms.transaction_id}\0{sms.daddr.removeprefix('+')}\0{sms.message}".encode()
    digest = hashlib.blake2b(content, digest_size=_KEY_BYTES).digest()
    before = seen.get(digest, 0)
    seen[digest] = before + 1
    if not before:
        return digest.hex()
    return hashlib.blake2b(content + b"\0%d" % before, digest_size=_KEY_BYTES).hexdigest()

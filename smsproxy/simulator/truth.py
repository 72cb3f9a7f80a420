"""The truth log: every PDU the simulator saw and sent, in memory (bounded) and as JSON lines in a file.

It is the SMSC's side of a ledger: joined with what the callers and the store say, it proves that nothing was
sent twice, lost or changed. It holds texts and numbers, so it is for tests and trials only; passwords are not
in it. Filled by sessions and intake; asked by tests through `TruthLog.submits`, `texts`, `duplicates`, or
through `read_entries` and `ledger` for a file of another process.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from smsproxy.simulator import ledger
from smsproxy.simulator.entry import Direction, Entry, Seen, entry_of
from smsproxy.smpp.pdu import Pdu

DEFAULT_RING = 100_000
_FLUSH_LINES = 500


class TruthLog:
    """The last `ring` PDUs in memory, and all of them in `path` if there is one.

    Lines reach the file each 500 lines, at `flush` and at `close`. When the file cannot be written any more
    the log goes on without it and `file_error` says why.
    """

    def __init__(
        self, path: Path | None = None, ring: int = DEFAULT_RING, clock: Callable[[], float] = time.time
    ) -> None:
        """Raises OSError when `path` cannot be opened. An existing file is added to."""
        self._seen: deque[Seen] = deque(maxlen=ring)
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path is not None else None
        self._lines: list[str] = []
        self.clock = clock
        self.total = 0
        self.file_error = ""

    def __repr__(self) -> str:
        return f"<TruthLog {len(self._seen)} of {self.total}{' file' if self._file else ''}>"

    @property
    def forgotten(self) -> int:
        """PDUs that the ring has no more."""
        return self.total - len(self._seen)

    def note(
        self,
        session: int,
        system_id: str,
        direction: Direction,
        sequence_number: int,
        command_status: int,
        pdu: Pdu,
        smsc_id: str = "",
        state: str = "",
        answer: int | None = None,
    ) -> None:
        """Remember one PDU. `answer` is what a submit is to be answered, None for never."""
        now = self.clock()
        seen = Seen(
            now, session, system_id, direction, sequence_number, command_status, pdu, smsc_id, state, answer
        )
        self.total += 1
        self._seen.append(seen)
        if self._file is not None:
            self._lines.append(json.dumps(entry_of(seen).as_json(), ensure_ascii=False))
            if len(self._lines) >= _FLUSH_LINES:
                self.flush()

    def flush(self) -> None:
        """Write out what waits for the file."""
        if self._file is None or not self._lines:
            return
        try:
            self._file.write("\n".join(self._lines) + "\n")
            self._file.flush()
        except OSError as error:
            self.file_error = f"truth log ended: {error.strerror or error}"
            with contextlib.suppress(OSError):  # it tries to write again
                self._file.close()
            self._file = None
        self._lines.clear()

    def close(self) -> None:
        """Write out and close the file. What is in memory stays."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- what tests ask -------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """All in memory, oldest first."""
        return [entry_of(seen) for seen in self._seen]

    def submits(self, destination: str = "") -> list[Entry]:
        """submit_sm and data_sm received; those for one destination, or all."""
        return ledger.submits(self.entries(), destination)

    def receipts(self, smsc_id: str = "") -> list[Entry]:
        """Receipts sent; those for one id, or all."""
        return ledger.receipts(self.entries(), smsc_id)

    def texts(self, destination: str = "") -> list[ledger.Text]:
        """Messages with their segments joined; for one destination, or all."""
        return ledger.texts(self.entries(), destination)

    def duplicates(self) -> list[list[Entry]]:
        """Segments that may have been taken more than once; each with all its submits."""
        return ledger.duplicates(self.entries())


def read_entries(path: Path) -> list[Entry]:
    """The entries of a truth file. Raises ValueError naming the line that is none."""
    entries = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entries.append(Entry.from_json(json.loads(line)))
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}:{number}: {error}") from None
    return entries

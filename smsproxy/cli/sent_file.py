"""The state of a campaign: ``campaign.csv.sent`` beside the CSV, what of it was accepted.

The first line names the campaign, every other one accepted row: key, line, message_id, link. Append-only. The
name goes into every transaction_id, so a row whose answer was not written down any more (a crash, a full
disk) is asked again with the same one, and the daemon answers with the first send (spec §2.3).
Without the file a campaign is a new one. No numbers and no texts are in it. Who calls: `campaign`.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from smsproxy.cli.campaign_file import Row
from smsproxy.client import SmsAnswer

FORMAT = 1


class SentFileError(Exception):
    """The state cannot be used; the text is one line for the operator."""


class SentFile:
    """See the module. Use it with `with`; only one process may have it open."""

    def __init__(self, path: Path, app_id: int) -> None:
        """Raises SentFileError, OSError."""
        self.path = path
        self.accepted: set[str] = set()
        self._file = path.open("a+", encoding="utf-8")
        try:
            self._lock()
            self.campaign_id = self._load(app_id)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def transaction_id(self, row: Row) -> str:
        """The row's own one, else the same in every run of this campaign: at most 41 characters."""
        return row.sms.transaction_id or f"{self.campaign_id}-{row.key}"

    def add(self, row: Row, answer: SmsAnswer) -> None:
        """Note an accepted row. It is on the disk after `flush`."""
        self.accepted.add(row.key)
        self._file.write(f"{row.key}\t{row.line}\t{answer.message_id}\t{answer.esme}\n")

    def flush(self) -> None:
        """Hand what was noted to the system."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close. Twice is once."""
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SentFileError(f"{self.path}: another run sends this campaign") from None

    def _load(self, app_id: int) -> str:
        self._file.seek(0)
        first = self._file.readline()
        if not first.endswith("\n"):  # a new file, or a run that died over its first line and sent nothing
            return self._begin(app_id)
        campaign_id = self._header(first, app_id)
        last = first
        for last in self._file:
            if last.endswith("\n"):
                self.accepted.add(last.partition("\t")[0])
        if not last.endswith("\n"):  # a run died over it: what follows begins a line of its own
            self._file.write("\n")
        return campaign_id

    def _begin(self, app_id: int) -> str:
        """Name the campaign, and have that on the disk before anything is sent under it."""
        campaign_id = secrets.token_hex(8)
        self._file.truncate(0)
        self._file.write(json.dumps({"smsproxy_campaign": FORMAT, "id": campaign_id, "app": app_id}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return campaign_id

    def _header(self, line: str, app_id: int) -> str:
        try:
            header = json.loads(line)
            known = header["smsproxy_campaign"] == FORMAT
            campaign_id, app = header["id"], header["app"]
        except (ValueError, LookupError, TypeError):
            known = False
        if not known:
            raise SentFileError(f"{self.path}: is not the state of a campaign")
        if app != app_id:
            raise SentFileError(f"{self.path}: this campaign was begun by app {app}, not {app_id}")
        return str(campaign_id)

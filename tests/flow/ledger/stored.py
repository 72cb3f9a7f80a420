"""The store's side of the ledger: every record, as `smsproxy store export` tells it to an operator."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.flow.kit import ROOT, SMSPROXY

_EXPORT_S = 120


@dataclass(slots=True)
class Segment:
    """State in the words of the product; `smsc_id` is empty where the SMSC gave none."""

    state: str
    smsc_id: str = ""


@dataclass(slots=True)
class Record:
    """One record. Times are Unix seconds."""

    message_id: str
    transaction_id: str
    link_id: int
    created_at: float
    segments: list[Segment]

    @property
    def smsc_ids(self) -> tuple[str, ...]:
        return tuple(segment.smsc_id for segment in self.segments if segment.smsc_id)


def read_store(config: Path) -> list[Record]:
    """All records of the store of a configuration, oldest first. The daemon may be running."""
    command = [*SMSPROXY, "store", "export", "--config", str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_EXPORT_S, check=False)
    assert done.returncode == 0, done.stderr
    return [_record(line) for line in done.stdout.splitlines()]


def _record(line: str) -> Record:
    values = json.loads(line)
    segments = [Segment(one["state"], one["smsc_id"]) for one in values["segments"]]
    return Record(
        values["message_id"], values["transaction_id"], values["link_id"], values["sent_at"], segments
    )

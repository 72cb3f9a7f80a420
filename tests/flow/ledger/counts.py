"""What a ledger check counted, as tests print it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """One run. Ends are counted by their word, one for each attempt that was answered."""

    messages: int = 0
    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    """Ends that were the recorded answer of an earlier send."""
    broken: int = 0
    """Attempts whose connection broke before the answer."""
    pdus: int = 0
    """submit_sm and data_sm that the SMSCs saw."""
    refused_pdus: int = 0
    records: int = 0
    in_doubt: int = 0
    """Records with a segment that is `unknown`."""
    receipts_ok: int = 0
    receipts_sent_back: int = 0
    receipts_unmatched: int = 0
    """Answered ok, and no record has their id: of messages in doubt, or that nobody knows."""
    samples: int = 0
    """Looks at a status during the run."""
    doubles: int = 0
    losses: int = 0
    """Acknowledged, and missing at the SMSC or in the store; receipts answered ok and missing."""
    unmatched: int = 0
    """Submits or records that no request explains."""

    def __str__(self) -> str:
        ends = ", ".join(f"{word} {count}" for word, count in sorted(self.ends.items())) or "none"
        rows = [
            ("messages", f"{self.messages}, asked {self.asked} times"),
            ("ends", f"{ends}; {self.repeated} repeated, {self.broken} broken before the answer"),
            ("PDUs", f"{self.pdus} submits, {self.refused_pdus} of them refused"),
            ("records", f"{self.records}, {self.in_doubt} of them in doubt"),
            ("receipts", f"{self.receipts_ok} ok, {self.receipts_sent_back} sent back, "
                         f"{self.receipts_unmatched} without a record"),
            ("doubles", str(self.doubles)),
            ("losses", str(self.losses)),
            ("unmatched", str(self.unmatched)),
        ]  # fmt: skip
        return "\n".join(f"  {name:<9} {value}" for name, value in rows)

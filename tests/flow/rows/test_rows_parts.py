"""Row 13 of the reliability matrix: messages of five parts whose third is refused, never answered, or cut off.

Each link sends a part every 33 ms, so that a refusal is known well before the next part's turn.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from held_load import HeldLoad, a_pool, recipient
from rows_kit import BY_COMPLETION, SOAK, Campaign

from smsproxy.simulator import ledger
from smsproxy.simulator.entry import Entry
from smsproxy.smpp.constants import ESME_ROK
from tests.flow.kit import Client, Daemon, Smsc, running, sms

LINKS = 4
PARTS = 5
RATE_PER_S = 20
DURATION_S = 60 if SOAK else 5
LINK = {"rate_per_s": 30, "burst": 1, "response_timeout_s": 1.0, "reconnect_max_s": 1}
ON_ITS_WAY_S = 0.05
"""A part written before the refusal was known may reach the SMSC's log this much after it."""
TROUBLED_EVERY = 10


@dataclass
class Run:
    """What a campaign came to: answers, records, and the parts that the SMSCs saw."""

    campaign: Campaign
    records: dict[str, dict[str, str]] = field(default_factory=dict)
    """By transaction_id: segment number to state, as SmsInfo says."""
    statuses: dict[str, str] = field(default_factory=dict)
    logs: list[list[Entry]] = field(default_factory=list)
    """One truth log a link."""

    def troubled(self) -> list[str]:
        return [key for key in self.campaign.texts if key.startswith("troubled")]

    def fine(self) -> list[str]:
        return [key for key in self.campaign.texts if key.startswith("fine")]

    def parts(self, key: str) -> list[Entry]:
        """Its submits, in the order they came."""
        wanted = recipient(_number(key))
        return [one for log in self.logs for one in ledger.submits(log) if one.destination == wanted]

"""What the rows of the reliability matrix share: a driver that keeps its log, and the ledger check.

The driver's log (`Campaign`) and the truth logs of the simulators are joined by text: each message of a test
has a text of its own.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smsproxy.simulator import ledger
from smsproxy.simulator.entry import Entry
from smsproxy.smpp.constants import ESME_ROK
from tests.flow.kit import Client, sms

SOAK = bool(os.environ.get("SMSPROXY_SOAK"))
BY_COMPLETION = [("x-response-order", "completion")]


@dataclass
class Campaign:
    """What was sent, by transaction_id, and what was said of it."""

    texts: dict[str, str]
    said: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, count: int, name: str = "row") -> Campaign:
        return cls({f"{name}-{number}": f"{name} message {number}" for number in range(count)})

    def answers(self, client: Client, *, timeout_s: float = 60, **fields: Any) -> Iterator[Any]:
        """Send all on one stream; each answer as it comes, noted."""
        requests = (sms(transaction_id=key, message=text, **fields) for key, text in self.texts.items())
        for answer in client.stream(requests, metadata=BY_COMPLETION, timeout=timeout_s):
            self.note(answer)
            yield answer

    def send(self, client: Client, **fields: Any) -> Counter[str]:
        """Send all on one stream to its end; how many ended how."""
        for _ in self.answers(client, **fields):
            pass
        return self.ends

    def note(self, answer: Any) -> None:
        assert answer.transaction_id not in self.said, "answered twice"
        self.said[answer.transaction_id] = answer

    @property
    def ends(self) -> Counter[str]:
        return Counter(answer.status for answer in self.said.values())


def check_ledger(campaign: Campaign, entries: Iterable[Entry]) -> None:
    """Each request ended once, and what was said of it is what the SMSCs saw (promises P1 to P4)."""
    entries = list(entries)
    assert set(campaign.said) == set(campaign.texts), "a request without an end"
    assert ledger.duplicates(entries) == []
    seen = Counter(text.text for text in ledger.texts(entries))
    assert max(seen.values(), default=1) == 1
    assert set(seen) <= set(campaign.texts.values()), "a message nobody sent"
    taken = {entry.text for entry in ledger.submits(entries) if entry.answer == ESME_ROK}
    for key, text in campaign.texts.items():
        status = campaign.said[key].status
        if status == "submitted":
            assert text in taken, f"{key} is submitted, but no SMSC took it"
        elif status != "unknown":
            assert text not in seen, f"{key} is {status}, but an SMSC has it"


def most_outstanding(entries: Iterable[Entry]) -> int:
    """The most submit_sm of one session that waited for their answer at once."""
    open_ones: Counter[int] = Counter()
    most = 0
    for entry in entries:
        if entry.direction == "in" and entry.command == "submit_sm":
            open_ones[entry.session] += 1
            most = max(most, open_ones[entry.session])
        elif entry.direction == "out" and entry.command == "submit_sm_resp":
            open_ones[entry.session] -= 1
    return most


def metrics(path: Path) -> dict[str, float]:
    """What the daemon's /metrics says on a unix socket, by name and labels."""
    connection = http.client.HTTPConnection("localhost", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}

"""What the rows of the reliability matrix share: a driver that keeps its log, and the ledger check behind it.

The driver's log (`Campaign`), the truth logs of the simulators and the store are joined by tests.flow.ledger:
each message of a test has a text or a number of its own.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smsproxy.simulator.entry import Entry
from tests.flow import ledger
from tests.flow.kit import Client, sms
from tests.flow.ledger import Counts, DriverLog
from tests.flow.ledger.checks import CLOCK_S
from tests.flow.ledger.driver_log import PHONE

SOAK = bool(os.environ.get("SMSPROXY_SOAK"))
BY_COMPLETION = [("x-response-order", "completion")]


@dataclass
class Campaign:
    """What was sent, by transaction_id, and what was said of it."""

    texts: dict[str, str]
    said: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    """Whom each is for, where they are not all for one."""
    samples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """What SmsInfo said of the parts of some during the run."""

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


def together(*campaigns: Campaign) -> Campaign:
    """Campaigns whose messages went to the same SMSCs, as one."""
    whole = Campaign({})
    for campaign in campaigns:
        whole.texts.update(campaign.texts)
        whole.said.update(campaign.said)
        whole.numbers.update(campaign.numbers)
    return whole


def check_ledger(
    campaign: Campaign, entries: Iterable[Entry], config: Path, *, clock_s: float = CLOCK_S
) -> Counts:
    """Each request ended once, and what was said of it is what the SMSCs saw and what the store has.

    `config` is the daemon's: its store lies beside it. Prints the counts, shown with ``pytest -s``.
    """
    log = DriverLog()
    for key, text in campaign.texts.items():
        log.add(key, text, campaign.numbers.get(key, PHONE)).asked += 1
    for answer in campaign.said.values():
        log.answered(answer)
    for key, samples in campaign.samples.items():
        log.requests[key].samples += samples
    counts = ledger.check_ledger(log, entries, ledger.read_store(config), clock_s=clock_s)
    print(f"\n{counts}")
    return counts


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


class Growth:
    """What a process grows by beyond what it grows by anyway: the store's page cache fills under a load."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before: list[tuple[float, float]] = []
        self.mib = self.raw_mib = self.slope_mib_s = 0.0

    def _now(self) -> tuple[float, float]:
        status = Path(f"/proc/{self._pid}/status").read_text()
        (found,) = re.findall(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)  # a mapped file is no memory
        return time.monotonic(), int(found) / 1024

    def alone(self, seconds: float) -> None:
        """Look at it before; how fast it grows is taken from the second half."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._before.append(self._now())
            time.sleep(0.1)
        (from_s, from_mib), (to_s, to_mib) = self._before[len(self._before) // 2], self._before[-1]
        self.slope_mib_s = max(0.0, (to_mib - from_mib) / max(to_s - from_s, 0.1))

    def from_now(self) -> None:
        """Count from here."""
        self._before = [self._now()]

    def beside(self) -> None:
        """Look at it while it is tried: `mib` is the most beyond the slope, `raw_mib` the most in all."""
        at, mib = self._now()
        last_at, last_mib = self._before[-1]
        self.raw_mib = max(self.raw_mib, mib - last_mib)
        self.mib = max(self.mib, mib - last_mib - self.slope_mib_s * (at - last_at))

    def __str__(self) -> str:
        own = f"{self.slope_mib_s:.2f} MiB/s of the load alone"
        return f"RSS {self.raw_mib:+.1f} MiB, {self.mib:+.1f} beyond {own}"


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

"""What one session of the simulator has asked its ESME: numbers, deliveries, enquire_links. Pure.

A delivery stands here from its deliver_sm or data_sm to the answer, or to the end of its time. Kept by the
session; times are seconds of the loop's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smsproxy.simulator.receipts import Delivery
from smsproxy.smpp.constants import MAX_SEQUENCE_NUMBER

MAX_ENQUIRIES = 100
"""Unanswered enquire_links that are remembered; the oldest is forgotten."""


class Requests:
    """Our own sequence numbers, and what waits for an answer under them."""

    __slots__ = ("_deliveries", "_enquiries", "_last_number")

    def __init__(self) -> None:
        self._last_number = 0
        self._deliveries: dict[int, Delivery] = {}
        self._enquiries: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<Requests deliveries={len(self._deliveries)} enquiries={len(self._enquiries)}>"

    def next_number(self) -> int:
        """The next sequence_number of ours: 1 to 0x7FFFFFFF, and round (§5.1.4)."""
        self._last_number = self._last_number % MAX_SEQUENCE_NUMBER + 1
        return self._last_number

    @property
    def undelivered(self) -> int:
        """Deliveries without an answer."""
        return len(self._deliveries)

    def deliver(self, delivery: Delivery, now: float) -> int:
        """A delivery goes out; its number."""
        sequence_number = self.next_number()
        delivery.tries += 1
        delivery.sent_at = now
        self._deliveries[sequence_number] = delivery
        return sequence_number

    def delivered(self, sequence_number: int) -> Delivery | None:
        """The delivery that an answer with this number is for."""
        return self._deliveries.pop(sequence_number, None)

    def expire(self, now: float, timeout_s: float) -> Iterator[Delivery]:
        """Take out the deliveries that were not answered in time, one by one, oldest first."""
        expired = []
        for sequence_number, delivery in self._deliveries.items():
            if delivery.sent_at + timeout_s > now:
                break
            expired.append(sequence_number)
        for sequence_number in expired:
            yield self._deliveries.pop(sequence_number)

    def drain(self) -> Iterable[Delivery]:
        """Take out all of them: the session ended."""
        left, self._deliveries = self._deliveries, {}
        return left.values()

    def enquire(self, now: float) -> int:
        """An enquire_link goes out; its number."""
        sequence_number = self.next_number()
        if len(self._enquiries) >= MAX_ENQUIRIES:
            del self._enquiries[next(iter(self._enquiries))]
        self._enquiries[sequence_number] = now
        return sequence_number

    def enquired(self, sequence_number: int) -> float | None:
        """When the enquire_link of this number went out; None when none did."""
        return self._enquiries.pop(sequence_number, None)

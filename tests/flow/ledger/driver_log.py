"""The driver's side of the ledger: what was asked, and what was heard of it, by transaction_id.

Filled by the drivers of flow tests, from any thread (each note is one append); read by `checks`. An attempt
is one time that a request was written to a daemon: it is answered, refused, or its connection broke.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

PHONE = "998901234567"


class Answer(Protocol):
    """What a driver hears of a message: an SmsResponse, or the client's value of it."""

    transaction_id: str
    status: str
    message_id: str
    repeated: bool

    @property
    def sms_ids(self) -> Any: ...


@dataclass(slots=True)
class Heard:
    """One end of one attempt; `status` as in spec §2.1."""

    status: str
    message_id: str = ""
    smsc_ids: tuple[str, ...] = ()
    repeated: bool = False


@dataclass(slots=True)
class Request:
    """One message of a run and all that was heard of it."""

    transaction_id: str
    text: str
    daddr: str = PHONE
    asked: int = 0
    broken: int = 0
    """Attempts whose connection broke, or whose caller left, before the answer."""
    heard: list[Heard] = field(default_factory=list)
    samples: list[dict[str, str]] = field(default_factory=list)
    """What SmsInfo said of its parts during the run, in order."""

    @property
    def statuses(self) -> set[str]:
        return {one.status for one in self.heard}

    @property
    def may_be_out(self) -> bool:
        """Something was heard, or not heard, that allows a handset to have it."""
        return bool(self.broken) or bool(self.statuses & {"submitted", "unknown", "rejected"})


class DriverLog:
    """Every request of a run. Give each a text of its own, or better a `daddr` of its own."""

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}

    def __repr__(self) -> str:
        return f"<DriverLog requests={len(self.requests)} ends={dict(self.ends)}>"

    def add(self, transaction_id: str, text: str, daddr: str = PHONE) -> Request:
        """A message that will be sent; asked for the first time by `asked`."""
        request = self.requests[transaction_id] = Request(transaction_id, text, daddr)
        return request

    def asked(self, transaction_id: str) -> None:
        """An attempt begins."""
        self.requests[transaction_id].asked += 1

    def answered(self, answer: Answer) -> None:
        """An attempt was answered, in band or by a unary OK."""
        heard = Heard(answer.status, answer.message_id, tuple(answer.sms_ids), answer.repeated)
        self.requests[answer.transaction_id].heard.append(heard)

    def refused(self, transaction_id: str, status: str) -> None:
        """A unary call ended with a gRPC status that the daemon gave; `status` is its word of spec §2.1."""
        self.requests[transaction_id].heard.append(Heard(status))

    def broke(self, transaction_id: str) -> None:
        """The connection broke, or the caller left, before the answer."""
        self.requests[transaction_id].broken += 1

    def break_open(self, transaction_ids: Iterable[str]) -> int:
        """The connection of these is gone: attempts without an end are broken. How many there were."""
        found = 0
        for request in map(self.requests.__getitem__, transaction_ids):
            missing = request.asked - request.broken - len(request.heard)
            request.broken += missing
            found += missing
        return found

    def sampled(self, transaction_id: str, parts: dict[str, str]) -> None:
        """SmsInfo said this of the parts of a message now."""
        self.requests[transaction_id].samples.append(parts)

    @property
    def ends(self) -> Counter[str]:
        """The last word on each request; "" for those without one."""
        return Counter(one.heard[-1].status if one.heard else "" for one in self.requests.values())

    def without_end(self) -> list[str]:
        """Requests of which nothing was heard yet."""
        return [key for key, request in self.requests.items() if not request.heard]

"""The ESME behind a system_id: its sessions that receive, and the deliveries that wait for one of them.

Deliveries go round over the sessions that are bound to receive, at most `receipt_window` unanswered on each.
What is refused for now, not answered, or lost with its session is sent again. Called by intake and sessions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from smsproxy.simulator.core import Core
from smsproxy.simulator.plan import Bucket
from smsproxy.simulator.receipts import Delivery
from smsproxy.smpp.constants import ESME_ROK, ESME_RX_T_APPN

MAX_ACCOUNTS = 10_000
MAX_WAITING = 100_000
"""Deliveries of one system_id that wait for a session or a place; more are dropped and counted."""


class Receiver(Protocol):
    """A session that deliveries can go to."""

    @property
    def has_room(self) -> bool: ...

    def deliver(self, delivery: Delivery) -> None: ...


class Account:
    """What stays true: every delivery is either waiting here, unanswered on one session, or ended."""

    __slots__ = ("_core", "_receivers", "_waiting", "bucket", "system_id")

    def __init__(self, system_id: str, core: Core) -> None:
        self.system_id = system_id
        self.bucket = Bucket()
        self._core = core
        self._receivers: deque[Receiver] = deque()
        self._waiting: deque[Delivery] = deque()

    def __repr__(self) -> str:
        return f"<Account {self.system_id} receivers={len(self._receivers)} waiting={len(self._waiting)}>"

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def can_receive(self) -> bool:
        return bool(self._receivers)

    def add(self, receiver: Receiver) -> None:
        """A session was bound to receive."""
        self._receivers.append(receiver)
        self.pump()

    def remove(self, receiver: Receiver, unanswered: Iterable[Delivery]) -> None:
        """A session ended; what it left unanswered goes out again, before what waits."""
        self._receivers.remove(receiver)
        for delivery in reversed(list(unanswered)):
            self._core.counters.delivers_unanswered += 1
            self._again(delivery, first=True)
        self.pump()

    def deliver(self, delivery: Delivery) -> None:
        """Send one as soon as a session has room, behind those that wait."""
        if len(self._waiting) >= MAX_WAITING:
            self._core.counters.delivers_dropped += 1
            return
        self._waiting.append(delivery)
        self.pump()

    def pump(self) -> None:
        """Send what waits, as far as there is room."""
        waiting, receivers = self._waiting, self._receivers
        full = 0
        while waiting and full < len(receivers):
            receiver = receivers[0]
            receivers.rotate(-1)
            if receiver.has_room:
                receiver.deliver(waiting.popleft())
                full = 0
            else:
                full += 1

    def answered(self, delivery: Delivery, command_status: int) -> None:
        """The ESME answered: done, again later, or refused for good."""
        counters = self._core.counters
        counters.deliver_statuses[command_status] += 1
        if command_status == ESME_ROK:
            counters.delivers_ok += 1
        else:
            counters.delivers_refused += 1
            if command_status == ESME_RX_T_APPN:
                self._core.timers.after(self._core.script.receipt_retry_s, self._again, delivery)
        if self._waiting:
            self.pump()

    def silent(self, delivery: Delivery) -> None:
        """The ESME did not answer in time."""
        self._core.counters.delivers_unanswered += 1
        self._core.timers.after(self._core.script.receipt_retry_s, self._again, delivery)
        self.pump()

    def _again(self, delivery: Delivery, *, first: bool = False) -> None:
        counters = self._core.counters
        if delivery.tries >= self._core.script.receipt_tries or len(self._waiting) >= MAX_WAITING:
            counters.delivers_dropped += 1
            return
        counters.delivers_repeated += 1
        if first:
            self._waiting.appendleft(delivery)
            return
        self._waiting.append(delivery)
        self.pump()


class Accounts:
    """Every system_id that was ever bound: its receipts may come long after its sessions ended."""

    __slots__ = ("_accounts", "_core")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._accounts: dict[str, Account] = {}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._accounts.values())

    def get(self, system_id: str) -> Account | None:
        """The account of a system_id, made when it is new; None when there are too many."""
        account = self._accounts.get(system_id)
        if account is None:
            if len(self._accounts) >= MAX_ACCOUNTS:
                return None
            account = self._accounts[system_id] = Account(system_id, self._core)
        return account

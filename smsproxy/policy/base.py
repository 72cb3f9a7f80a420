"""The contact policy (MCP) as the pipeline sees it, and the key-value store an embedded engine needs.

The pipeline asks a `PolicyEngine` for batches of verdicts and gives back what was not sent (spec §5). Engines
that keep their own state do so through `KeyValue`, which app.py hands them: policy never imports stores.
Numbers are personal data: keys hold them and expire, nothing here logs them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from smsproxy.domain.errors import ProductError

R = TypeVar("R")


class PolicyUnavailableError(ProductError):
    """The policy's state cannot be reached now. Ours, safe to retry."""

    def __init__(self, text: str, given_back: Collection[bytes] = ()) -> None:
        """`given_back`: message_ids of a release that need not be asked for again."""
        super().__init__(text)
        self.given_back = given_back


class Verdict(StrEnum):
    """A strategy's answer. All but `ok` are status words of SmsResponse (spec §2.1)."""

    OK = "ok"
    DAILY_CP = "daily_cp"
    WEEKLY_CP = "weekly_cp"
    DUPLICATE = "duplicate"
    BLACKLIST = "blacklist"
    UNAVAILABLE = "unavailable"
    """Could not be decided, and the strategy's `on_error` is `refuse`: nothing is reserved, safe to retry."""


@dataclass(slots=True)
class PolicyRequest:
    """What the policy needs to know of one message. Not frozen only because it is made once a message."""

    message_id: bytes
    strategy: str
    app_id: int
    daddr: str
    """Normalised: digits without ``+``."""
    saddr: str
    text_sha256: bytes
    """Empty: there is no text yet (an audience is screened), or the engine reads none, so no rule about texts
    applies."""
    task_id: int = 0


class PolicyEngine(Protocol):
    """Decides whether a recipient may be contacted. Counting is a reservation held by the message_id."""

    @property
    def max_batch(self) -> int:
        """The most requests of one call that are answered as fast as one alone."""
        ...

    def knows(self, strategy: str) -> bool:
        """Whether `strategy` is configured. A message with another name is `invalid`."""
        ...

    def reads_text(self, strategy: str) -> bool:
        """Whether `text_sha256` makes a difference to it, as it is configured now."""
        ...

    async def reserve(self, batch: Sequence[PolicyRequest]) -> list[Verdict]:
        """One verdict a request, in order; `ok` has counted it.

        Decided one by one in this order, so of many equal messages in a batch exactly one passes a duplicate
        rule. A message_id asking again while its reservation stands is granted and not counted again.
        Never raises for a state that cannot be reached: `on_error` of each strategy answers then.
        """
        ...

    async def check(self, batch: Sequence[PolicyRequest]) -> list[Verdict]:
        """What `reserve` would say of each request alone; nothing is counted."""
        ...

    async def release(self, batch: Sequence[PolicyRequest]) -> None:
        """Give back what these message_ids reserved, each once; what they do not hold is left alone.

        Raises PolicyUnavailableError: not all of it was given back, ask again for all but its `given_back`.
        """
        ...

    def take_doubtful(self) -> list[PolicyRequest]:
        """Requests that were answered `unavailable` and may have been counted all the same: release them.

        An engine outside this process may have heard a request whose answer never came. Each is told once.
        """
        ...


class Transaction(Protocol):
    """What a unit of work may do. It reads its own writes."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None when there is none or it has expired."""
        ...

    def put(self, key: bytes, value: bytes, expires_at: float) -> None:
        """Set the value; past `expires_at` (Unix seconds) it reads as absent and may be dropped."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove the key; no error when it is absent."""
        ...

    def keys(self, prefix: bytes) -> list[bytes]:
        """All keys that begin so, in order, but those that have expired. A prefix has a byte below 0xFF."""
        ...


class KeyValue(Protocol):
    """A small key-value store with atomic units of work."""

    async def transact(self, work: Callable[[Transaction], R]) -> R:
        """Run `work` alone against the store and return what it returns; if it raises, nothing is applied.

        `work` may run in another thread, grouped with others, and more than once if the group must be
        repeated: it touches nothing but its transaction. Raises StoreUnavailableError: nothing was applied.
        """
        ...

"""Reading a whole store beside the daemon: what `smsproxy store export` and `store check` ask of one.

A second, optional seam next to `base.Store`: plain blocking calls, because a command has nothing else to do,
and read-only, because a daemon may be writing meanwhile. A store that cannot be read from outside (memory:)
has none. Built by assembly.py, used by cli/store.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from smsproxy.domain.record import MessageRecord


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages. What is None is not asked about."""

    since: float | None = None
    """Created at or after, Unix seconds."""
    app_id: int | None = None
    link_id: int | None = None


EVERYTHING = Wanted()


class StoredMessage(NamedTuple):
    """A record, and what of it only the store has."""

    record: MessageRecord
    account: str
    """Where its SMSC ids are unique; empty while no SMSC has answered."""
    client_sent_at: int


@dataclass(slots=True)
class Inspection:
    """What a look at the store itself found; the messages are counted by who reads them."""

    facts: dict[str, int | str] = field(default_factory=dict)
    """Sizes, versions, marks: what an operator wants to see."""
    findings: list[str] = field(default_factory=list)
    """What is wrong, a line each; empty is sound."""


class Readout(Protocol):
    """A store opened for reading. Every method raises StoreUnavailableError when it cannot be read."""

    def count(self, wanted: Wanted) -> int:
        """About how many messages `records` will give: the length of a progress bar."""
        ...

    def records(self, wanted: Wanted) -> Iterator[StoredMessage]:
        """Messages that were there at the first step, each once, each as it is when it is read.

        In bounded memory, and without holding up the daemon. Order is the store's own.
        """
        ...

    def inspect(self, *, full: bool) -> Inspection:
        """Look at the store's own house; `full` also where that takes minutes."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

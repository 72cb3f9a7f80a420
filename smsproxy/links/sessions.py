"""The sessions of one link and whose turn it is: round-robin over those with a free place.

Pure; kept by the link. A session is a `transport.SmppConnection`; tests use simpler ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from smsproxy.links.base import Slot
from smsproxy.smpp.events import Delivered


class Session(Slot, Protocol):
    """One TCP life as its link sees it. Reserved, it is also the `Slot` that a message holds."""

    @property
    def can_submit(self) -> bool:
        """Bound in a way that submits: not as a receiver only."""
        ...

    @property
    def in_flight(self) -> int: ...

    @property
    def free_slots(self) -> int:
        """Places that `reserve` would give now; 0 unless it can submit."""
        ...

    def reserve(self) -> bool: ...

    def answer(self, request: Delivered, command_status: int) -> None: ...

    def answer_receipts(self, sequence_numbers: Sequence[int], command_status: int) -> None:
        """Answer those that came as ReceiptDelivered, all with one status."""
        ...

    def rebind(self, reason: str) -> None:
        """Unbind, so that another session takes its place; what is in flight may still be answered."""
        ...


class Sessions:
    """All sessions of a link, bound or not yet."""

    __slots__ = ("_all", "_turn")

    def __init__(self) -> None:
        self._all: list[Session] = []
        self._turn = 0

    def __iter__(self) -> Iterator[Session]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, session: Session) -> None:
        self._all.append(session)

    def remove(self, session: Session) -> None:
        """Of no effect when it is not there."""
        if session in self._all:
            self._all.remove(session)

    @property
    def can_submit(self) -> bool:
        found = False
        for session in self._all:  # `any` would make a generator, and this is asked for every message
            found = found or session.can_submit
        return found

    @property
    def in_flight(self) -> int:
        return sum([session.in_flight for session in self._all])

    @property
    def have_room(self) -> bool:
        return any(session.free_slots > 0 for session in self._all)

    def next_free(self) -> Session | None:
        """The next session, in turn, with a free place; None when all are full or down."""
        sessions, count = self._all, len(self._all)
        for _ in sessions:
            session = sessions[self._turn % count]
            if session.free_slots > 0:
                return session
            self._turn += 1
        return None

    def reserve(self, session: Session) -> None:
        """Hold a place in what `next_free` gave, and pass the turn on."""
        session.reserve()
        self._turn += 1

"""The window: requests that wait for their response, by sequence_number.

A place can be reserved before there is anything to write, because an intent must be stored between taking the
place and writing the octets. What stays true: in flight + reserved <= size. Called by the session only.
"""

from __future__ import annotations


class Window:
    """Slots in the order they were taken, so that expiry looks at the oldest only.

    An owner is any object but None; the window never looks inside. Times are seconds of one monotonic clock.
    """

    __slots__ = ("free", "reserved", "size", "slots")

    def __init__(self, size: int) -> None:
        self.size = size
        self.free = size
        """Places that are neither in flight nor held. Plain fields, these two: they are read per segment."""
        self.reserved = 0
        self.slots: dict[int, tuple[object, float]] = {}
        """By sequence_number: the owner, and when it was sent. Changed in here alone."""

    def __repr__(self) -> str:
        return f"<Window {len(self.slots)}/{self.size} reserved={self.reserved}>"

    def __contains__(self, sequence_number: int) -> bool:
        return sequence_number in self.slots

    @property
    def in_flight(self) -> int:
        return len(self.slots)

    def reserve(self) -> bool:
        """Hold one place. False when none is free."""
        if self.free <= 0:
            return False
        self.free -= 1
        self.reserved += 1
        return True

    def unreserve(self) -> None:
        """Give a held place back. Raises ValueError when none is held."""
        if not self.reserved:
            raise ValueError("no place is reserved")
        self.reserved -= 1
        self.free += 1

    def take(self, sequence_number: int, owner: object, now: float) -> None:
        """Turn a held place into the slot of `sequence_number`. Raises ValueError when none is held."""
        if not self.reserved:
            raise ValueError("no place is reserved")
        self.reserved -= 1
        self.slots[sequence_number] = (owner, now)

    def answer(self, sequence_number: int) -> object | None:
        """Free the slot of `sequence_number` and return its owner; None when there is no such slot."""
        slot = self.slots.pop(sequence_number, None)
        if slot is None:
            return None
        self.free += 1
        return slot[0]

    def expire(self, now: float, timeout_s: float) -> list[tuple[int, object, float]]:
        """Free the slots taken `timeout_s` or longer ago: (sequence_number, owner, sent_at), oldest first."""
        expired = []
        for sequence_number, (owner, sent_at) in self.slots.items():
            if sent_at + timeout_s > now:
                break
            expired.append((sequence_number, owner, sent_at))
        for sequence_number, _, _ in expired:
            del self.slots[sequence_number]
        self.free += len(expired)
        return expired

    def drain(self) -> list[object]:
        """Free all slots and return their owners, oldest first. Held places stay held."""
        owners = [owner for owner, _ in self.slots.values()]
        self.slots.clear()
        self.free += len(owners)
        return owners

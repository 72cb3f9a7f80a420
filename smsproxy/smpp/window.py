"""The window: requests that wait for their response, by sequence_number.

A place can be reserved before there is anything to write, because an intent must be stored between taking the
place and writing the octets. What stays true: in flight + reserved <= size. Called by the session only.
"""

from __future__ import annotations


class Window:
    """Slots in the order they were taken, so that expiry looks at the oldest only.

    An owner is any object but None; the window never looks inside. Times are seconds of one monotonic clock.
    """

    __slots__ = ("_reserved", "_slots", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._slots: dict[int, tuple[object, float]] = {}
        self._reserved = 0

    def __repr__(self) -> str:
        return f"<Window {len(self._slots)}/{self.size} reserved={self._reserved}>"

    def __contains__(self, sequence_number: int) -> bool:
        return sequence_number in self._slots

    @property
    def in_flight(self) -> int:
        return len(self._slots)

    @property
    def reserved(self) -> int:
        return self._reserved

    @property
    def free(self) -> int:
        return self.size - len(self._slots) - self._reserved

    @property
    def oldest_sent_at(self) -> float | None:
        for _, sent_at in self._slots.values():
            return sent_at
        return None

    def reserve(self) -> bool:
        """Hold one place. False when none is free."""
        if len(self._slots) + self._reserved >= self.size:
            return False
        self._reserved += 1
        return True

    def unreserve(self) -> None:
        """Give a held place back. Raises ValueError when none is held."""
        if not self._reserved:
            raise ValueError("no place is reserved")
        self._reserved -= 1

    def take(self, sequence_number: int, owner: object, now: float) -> None:
        """Turn a held place into the slot of `sequence_number`. Raises ValueError when none is held."""
        self.unreserve()
        self._slots[sequence_number] = (owner, now)

    def answer(self, sequence_number: int) -> object | None:
        """Free the slot of `sequence_number` and return its owner; None when there is no such slot."""
        slot = self._slots.pop(sequence_number, None)
        return None if slot is None else slot[0]

    def expire(self, now: float, timeout_s: float) -> list[tuple[int, object, float]]:
        """Free the slots taken `timeout_s` or longer ago: (sequence_number, owner, sent_at), oldest first."""
        expired = []
        for sequence_number, (owner, sent_at) in self._slots.items():
            if sent_at + timeout_s > now:
                break
            expired.append((sequence_number, owner, sent_at))
        for sequence_number, _, _ in expired:
            del self._slots[sequence_number]
        return expired

    def drain(self) -> list[object]:
        """Free all slots and return their owners, oldest first. Held places stay held."""
        owners = [owner for owner, _ in self._slots.values()]
        self._slots.clear()
        return owners

"""What a session asks besides submits: bind, enquire_link and unbind; and the numbers of all that it asks.

Sequence numbers run from 1 to 0x7FFFFFFF and round again, past those still in use. A response settles the
request of its number only if it is of the right type; a generic_nack settles whatever has its number (§4.3).
Called by the session only.
"""

from __future__ import annotations

from smsproxy.smpp.constants import MAX_SEQUENCE_NUMBER
from smsproxy.smpp.submits import Submits


class Requests:
    """One of each kind waits at most: a new one takes the place of an older one without an answer."""

    __slots__ = ("_asked", "_submits", "last")

    def __init__(self, submits: Submits) -> None:
        self._submits = submits
        self.last = 0
        """The number that was given last."""
        self._asked: dict[int, int] = {}  # command_id to sequence_number

    def __repr__(self) -> str:
        return f"<Requests last={self.last} waiting={len(self._asked)}>"

    def next_number(self) -> int:
        """The next number that no request of ours still uses (§5.1.4), submits included."""
        while True:
            self.last = number = self.last % MAX_SEQUENCE_NUMBER + 1
            if not (self._submits.uses(number) or (self._asked and number in self._asked.values())):
                return number

    def ask(self, command_id: int) -> int:
        """Remember a request that is to be written; its number."""
        sequence_number = self._asked[command_id] = self.next_number()
        return sequence_number

    def settle(self, command_id: int, sequence_number: int) -> bool:
        """The response to a `command_id` came. False when it answers nothing that waits."""
        if self._asked.get(command_id) != sequence_number:
            return False
        del self._asked[command_id]
        return True

    def nacked(self, sequence_number: int) -> int | None:
        """A generic_nack came: the command_id of the request that it settles, None when there is none."""
        for command_id, asked in self._asked.items():
            if asked == sequence_number:
                del self._asked[command_id]
                return command_id
        return None

    def drop(self) -> None:
        """The session ended: no answer means anything any more."""
        self._asked.clear()

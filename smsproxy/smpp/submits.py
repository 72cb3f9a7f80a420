"""The submits of a session: what is in flight, what timed out and may still be answered, and silence.

A submit_sm ends once here: answered, nacked, timed out, or lost with the session. A timed-out one is
remembered, so that an answer that comes late still settles it; a number nobody knows settles nothing.
Called by the session only.
"""

from __future__ import annotations

from smsproxy.smpp.constants import ESME_RSYSERR
from smsproxy.smpp.events import (
    Event,
    LateAnswer,
    Nacked,
    SubmitAnswered,
    SubmitLost,
    SubmitTimedOut,
    Unexpected,
)
from smsproxy.smpp.window import Window

MAX_REMEMBERED_TIMEOUTS = 10_000  # a full window of 1,000 that times out ten times over
SILENCES_TO_CLOSE = 3


class Submits:
    """A window with a memory. Times are seconds of one monotonic clock."""

    __slots__ = ("_last_answer_at", "_silences", "_timed_out", "_timeout_s", "window")

    def __init__(self, window_size: int, response_timeout_s: float) -> None:
        self.window = Window(window_size)
        self._timeout_s = response_timeout_s
        self._timed_out: dict[int, object] = {}
        self._silences = 0
        self._last_answer_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Submits {self.window!r} timed_out={len(self._timed_out)} silences={self._silences}>"

    def uses(self, sequence_number: int) -> bool:
        """Whether an answer with this number would mean something already."""
        return sequence_number in self.window.slots or sequence_number in self._timed_out

    @property
    def silent(self) -> bool:
        """Three submits in a row timed out on a link that answered none meanwhile."""
        return self._silences >= SILENCES_TO_CLOSE

    def answered(self, sequence_number: int, command_status: int, smsc_id: str, now: float) -> Event:
        """A submit_sm_resp came."""
        owner = self.window.answer(sequence_number)
        if owner is None:
            return self._late(sequence_number, command_status, smsc_id, now, "submit_sm_resp")
        self._silences = 0
        self._last_answer_at = now
        return SubmitAnswered(owner, command_status, smsc_id)

    def nacked(self, sequence_number: int, command_status: int, now: float) -> Event:
        """A generic_nack came that none of our other requests has asked for."""
        # A nack is a refusal whatever its status says: with 0 it must not read as an ok.
        command_status = command_status or ESME_RSYSERR
        owner = self.window.answer(sequence_number)
        if owner is None:
            return self._late(sequence_number, command_status, "", now, "generic_nack")
        self._silences = 0
        self._last_answer_at = now
        return Nacked(owner, command_status)

    def _late(self, sequence_number: int, command_status: int, smsc_id: str, now: float, name: str) -> Event:
        """No slot has this number: it timed out before, or it never was in use."""
        owner = self._timed_out.pop(sequence_number, None)
        if owner is None:
            return Unexpected(f"{name} with unknown sequence_number {sequence_number}")
        self._silences = 0
        self._last_answer_at = now
        return LateAnswer(owner, command_status, smsc_id)

    def expire(self, now: float) -> list[Event]:
        """Time out what waits too long, and count the silences.

        One that timed out counts only if the SMSC answered none in the second half of its wait: a batch of
        fifty on a busy link may well hold three that an otherwise healthy SMSC dropped.
        """
        events: list[Event] = []
        for sequence_number, owner, sent_at in self.window.expire(now, self._timeout_s):
            quiet = self._last_answer_at < sent_at + self._timeout_s / 2
            self._silences = self._silences + 1 if quiet else 0
            self._timed_out[sequence_number] = owner
            events.append(SubmitTimedOut(owner))
        while len(self._timed_out) > MAX_REMEMBERED_TIMEOUTS:
            del self._timed_out[next(iter(self._timed_out))]
        return events

    def drain(self) -> list[Event]:
        """The session ended: what is in flight is lost, what timed out before was told before."""
        self._timed_out.clear()
        return [SubmitLost(owner) for owner in self.window.drain()]

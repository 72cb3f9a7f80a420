"""Joins the segments of messages from handsets. Pure: time is an argument, room and patience are bounded.

Segments come in any order, repeated, over several links of one account. What is not whole after its time, or
the oldest when the room is full, is given out as far as it came. Called by `inbound`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from smsproxy.domain.inbound import InboundMessage, InboundSegment
from smsproxy.text.handset import decode

PATIENCE_S = 600.0
"""For the next segment of a message: phones that leave a cell go on sending minutes later."""
ROOM_OCTETS = 8 << 20
_SEGMENT_OCTETS = 256
"""What a segment costs beside its own octets."""

_Key = tuple[object, ...]


@dataclass(slots=True)
class _Open:
    link_id: int
    lapses_at: float
    segments: dict[int, InboundSegment] = field(default_factory=dict)

    @property
    def octets(self) -> int:
        return sum(len(one.octets) + _SEGMENT_OCTETS for one in self.segments.values())


class Joined(NamedTuple):
    """A message that is whole, or is given out as it is."""

    message: InboundMessage
    others: list[InboundSegment]
    """Its segments but for the one that completed it: acknowledged already."""


class Joiner:
    """Messages that are not whole yet, the one that waits longest first."""

    __slots__ = ("_octets", "_open", "_room", "lapsed_total", "overflowed_total")

    def __init__(self, room_octets: int = ROOM_OCTETS) -> None:
        self._room = room_octets
        self._octets = 0
        self._open: dict[_Key, _Open] = {}
        self.lapsed_total = 0
        """Messages given out incomplete because their time was over,"""
        self.overflowed_total = 0
        """or because there was no room."""

    def __repr__(self) -> str:
        return f"<Joiner open={len(self._open)} octets={self._octets}/{self._room}>"

    def __len__(self) -> int:
        return len(self._open)

    def add(self, segment: InboundSegment, link_id: int, now: float) -> Joined | None:
        """The message that `segment` completes, None while others are missing. A repeated one replaces."""
        if segment.total == 1:
            return Joined(_message([segment], link_id), [])
        key = _key(segment)
        message = self._take(key) or _Open(link_id, 0.0)
        message.link_id, message.lapses_at = link_id, now + PATIENCE_S
        message.segments[segment.number] = segment
        if len(message.segments) == segment.total:
            others = [one for one in message.segments.values() if one is not segment]
            return Joined(_message(message.segments.values(), link_id), others)
        self._open[key] = message  # at the end: the order is that of lapsing
        self._octets += message.octets
        return None

    def lapsed(self, now: float) -> list[Joined]:
        """Take out what waited too long, or has no room, as far as it came."""
        found = []
        while self._open:
            key, oldest = next(iter(self._open.items()))
            if oldest.lapses_at <= now:
                self.lapsed_total += 1
            elif self._octets > self._room:
                self.overflowed_total += 1
            else:
                break
            self._take(key)
            found.append(Joined(_message(oldest.segments.values(), oldest.link_id), []))
        return found

    def next_lapse(self) -> float | None:
        """When `lapsed` will next have something; None while nothing waits."""
        return next(iter(self._open.values())).lapses_at if self._open else None

    def _take(self, key: _Key) -> _Open | None:
        message = self._open.pop(key, None)
        if message is not None:
            self._octets -= message.octets
        return message


def _message(segments: Iterable[InboundSegment], link_id: int) -> InboundMessage:
    """One message out of the segments that are there, at least one, in their order."""
    ordered = sorted(segments, key=lambda one: one.number)
    octets, texts = b"", []
    # Decoded together, since a surrogate pair may have been cut; apart only where the alphabet changes.
    for alphabet, run in groupby(ordered, key=lambda one: one.alphabet):
        part = b"".join(one.octets for one in run)
        octets += part
        texts.append(decode(part, alphabet))
    first = ordered[0]
    known = [text for text in texts if text is not None]
    text = "".join(known) if len(known) == len(texts) else None
    return InboundMessage(
        first.account,
        link_id,
        first.source,
        first.destination,
        text,
        octets,
        first.data_coding,
        len(ordered),
        first.total,
    )


def _key(segment: InboundSegment) -> _Key:
    ends = (segment.account, segment.source, segment.destination)
    return (*ends, segment.concat_ref, segment.wide, segment.total)

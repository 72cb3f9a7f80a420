"""Questions to a truth log: what was submitted, which texts came out of it, what came twice.

Plain functions over entries, so that they serve the memory of a simulator and the file of another process
alike. Called by `TruthLog` and by ledger checkers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from smsproxy.simulator.entry import Entry
from smsproxy.simulator.texts import decode_text
from smsproxy.smpp.constants import ESME_ROK

_SUBMITS = frozenset({"submit_sm", "data_sm"})
_DELIVERS = frozenset({"deliver_sm", "data_sm"})


@dataclass(slots=True)
class Text:
    """A message as a handset would show it. `segments` by their number; refused ones are not in it."""

    source: str
    destination: str
    concat_ref: int | None
    total_segments: int
    segments: dict[int, Entry] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.segments) == self.total_segments

    @property
    def text(self) -> str | None:
        """The joined text, decoded as a whole; None while segments are missing or where it has no text."""
        if not self.complete:
            return None
        parts = [self.segments[number] for number in sorted(self.segments)]
        first = parts[0]
        octets = b"".join(part.octets for part in parts)
        return decode_text(octets, first.data_coding, first.single_shift, first.locking_shift)

    @property
    def smsc_ids(self) -> list[str]:
        """The ids given, in segment order."""
        return [self.segments[number].smsc_id for number in sorted(self.segments)]


def submits(entries: Iterable[Entry], destination: str = "") -> list[Entry]:
    """submit_sm and data_sm received, in order; those for one destination, or all."""
    return [
        entry
        for entry in entries
        if entry.direction == "in"
        and entry.command in _SUBMITS
        and (not destination or entry.destination == destination)
    ]


def receipts(entries: Iterable[Entry], smsc_id: str = "") -> list[Entry]:
    """Receipts sent, repeats included, in order; those for one id, or all."""
    return [
        entry
        for entry in entries
        if entry.direction == "out"
        and entry.command in _DELIVERS
        and entry.smsc_id
        and (not smsc_id or entry.smsc_id == smsc_id)
    ]


def maybe_taken(entry: Entry) -> bool:
    """A submit that the SMSC took, or that its sender cannot know not to be taken."""
    return entry.answer is None or entry.answer == ESME_ROK


def texts(entries: Iterable[Entry], destination: str = "") -> list[Text]:
    """Messages in the order of their first segment, segments joined by sender, destination and reference.

    A segment number that comes again with the same octets is a double and changes nothing (`duplicates` tells
    of it); with other octets, or after the last one, the reference is in use for the next message.
    """
    found: list[Text] = []
    open_ones: dict[tuple[object, ...], Text] = {}
    for entry in filter(maybe_taken, submits(entries, destination)):
        key = (entry.source, entry.destination, entry.concat_ref, entry.total_segments)
        text = open_ones.get(key)
        if text is None or _is_next(text, entry):
            text = Text(entry.source, entry.destination, entry.concat_ref, entry.total_segments)
            found.append(text)
            if entry.concat_ref is not None:
                open_ones[key] = text
        text.segments.setdefault(entry.segment_no, entry)
    return found


def _is_next(text: Text, entry: Entry) -> bool:
    """Whether a segment belongs to a later message with the same reference."""
    same = text.segments.get(entry.segment_no)
    return text.complete if same is None else same.octets != entry.octets


def duplicates(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Segments that may have been taken more than once, each with all its submits.

    The same segment is one with equal sender, destination, text and reference: give each message of a test a
    text or a destination of its own.
    """
    same: dict[tuple[object, ...], list[Entry]] = defaultdict(list)
    for entry in filter(maybe_taken, submits(entries)):
        place = (entry.concat_ref, entry.total_segments, entry.segment_no)
        same[entry.source, entry.destination, entry.data_coding, entry.octets, *place].append(entry)
    return [found for found in same.values() if len(found) > 1]

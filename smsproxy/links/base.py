"""What links and the pipeline know of one another.

The pipeline offers a `Submission` to a link. The link grants it places (token, then window slot), tells
`LinkEvents.granted`, and after the pipeline has stored the intent, `Link.write` puts the segments on the
wire. So an intent exists only for what is about to be written (spec §4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from smsproxy.domain.address import Address
from smsproxy.domain.inbound import InboundSegment
from smsproxy.domain.outcome import SegmentOutcome
from smsproxy.domain.receipt import Receipt
from smsproxy.settings import LinkSettings
from smsproxy.text.segmentation import SegmentedText, TextOptions


class Slot(Protocol):
    """A reserved place in one session's window."""

    @property
    def bound(self) -> bool: ...

    def unreserve(self) -> None:
        """Give the place back."""
        ...

    def submit(self, body: bytes, owner: object) -> None:
        """Write one submit_sm into the place."""
        ...


class Submission(Protocol):
    """A message as a link sees it. Slots are granted to its segments in order."""

    @property
    def fair_key(self) -> tuple[int, str]:
        """Waiters are served round-robin over these (spec §4)."""
        ...

    @property
    def source(self) -> Address: ...

    @property
    def destination(self) -> Address: ...

    text: SegmentedText
    reference: int
    """Concatenation reference of all its segments."""
    slots: tuple[Slot, ...]
    """One for every segment that may be written; the link appends."""
    written: int
    """Segments handed to a session so far, or ended as NotSent; the link counts."""
    stopped: bool
    """A refusal is known: no further segment may be granted or written (spec §2.4)."""


PATIENT_LANE = "stream"
"""The lane in a fair_key whose door is slowed by flow control: its messages wait, however many do (spec
§2.2). `max_waiting` refuses the others, and only for their own crowd: a campaign cannot take
an OTP's place."""

Answered = tuple[Submission, int, SegmentOutcome]
"""(message, segment number from 1, how it ended)"""


@dataclass(slots=True)
class Delivery:
    """Receipts of one read, in their order, that wait for one answer to all: `answer(True)` once they are
    stored, `answer(False)` for "repeat them"."""

    receipts: list[Receipt]
    answer: Callable[[bool], None]


@dataclass(slots=True)
class Inbound:
    """A segment from a handset that waits for its answer, as a `Delivery` does."""

    segment: InboundSegment
    answer: Callable[[bool], None]


class Offer(Enum):
    """What a link did with an offered message."""

    GRANTED = auto()
    WAITING = auto()
    FULL = auto()
    UNBOUND = auto()


class Shaper(Protocol):
    """A link's rate: one token a segment. Times are nanoseconds of the monotonic clock."""

    def take(self, now_ns: int, n: int = 1) -> int:
        """0: taken. Else how long until it could be."""
        ...

    def wait(self, now_ns: int, n: int = 1) -> int:
        """As take, but takes nothing."""
        ...


MakeShaper = Callable[[int, LinkSettings, Callable[[], int], Callable[[], bool], Callable[[], None]], Shaper]
"""(link_id, settings, how many segments could use a token now, whether unary calls are among those who wait,
what to call when tokens have come)."""


class LinkEvents(Protocol):
    """What links tell the pipeline, in batches as they come off the wire. Plain functions."""

    def granted(self, link_id: int, submission: Submission) -> None:
        """A further slot was granted, perhaps before `Link.offer` returned.

        Once the intent is stored, the pipeline calls `Link.write`; else `Link.stop`. One of them must come.
        """
        ...

    def answered(self, answers: list[Answered]) -> None:
        """Segments ended."""
        ...

    def answered_late(self, answers: list[Answered]) -> None:
        """Segments that had been in doubt were answered after all."""
        ...

    def received(self, deliveries: list[Delivery]) -> None:
        """Receipts to store, then to answer."""
        ...

    def inbound(self, link_id: int, segments: list[Inbound]) -> None:
        """Segments of messages from handsets to hand on, then to answer."""
        ...

    def abandoned(self, submission: Submission) -> None:
        """The link went down while this waited for its first place, or for places of further segments.

        The link has let go of it, unless it holds places whose intent is being stored: those end by `write`
        (as NotSent, if the link is still down) or `stop`, as always.
        """
        ...


def text_options(settings: LinkSettings, max_segments: int) -> TextOptions:
    """How this link writes texts (spec §2.4)."""
    return TextOptions(
        max_segments=max_segments,
        long_messages=settings.long_messages,
        gsm7=settings.gsm7,
        gsm7_data_coding=settings.gsm7_data_coding,
        ucs2_data_coding=settings.ucs2_data_coding,
        latin1=settings.latin1,
        latin1_data_coding=settings.latin1_data_coding,
        national_shift=settings.national_shift,
        transliterate=settings.transliterate,
    )

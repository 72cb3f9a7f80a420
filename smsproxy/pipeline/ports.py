"""What a door (gRPC today; HTTP, campaigns, a console later) may ask of the core.

A door decodes, calls `submit`, and encodes the one `Answer` it gets back. It never sees a link, a store or an
SMPP PDU; the core never sees a door.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from smsproxy.domain.caller import Caller
from smsproxy.domain.inbound import InboundMessage
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer
from smsproxy.domain.record import MessageRecord


class Lane(StrEnum):
    """How a message came. Waiters of a link are served round-robin over (app, lane) (spec §4)."""

    UNARY = "unary"
    STREAM = "stream"


class Ticket(Protocol):
    """One message on its way through the pipeline."""

    def cancel(self) -> bool:
        """The caller left.

        True: withdrawn, nothing was sent and no reply will come. False: too late for that, the submission
        goes on and is recorded, and the reply comes as usual.
        """
        ...


@dataclass(frozen=True, slots=True)
class TextMeasure:
    """What a text becomes on the wire (spec §2, CheckTextLenResponse)."""

    alphabet: str
    symbols: int
    parts: int
    units: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Audience:
    """Numbers the contact policy is asked about before there are messages for them."""

    app_id: int
    strategy: str
    saddr: str
    """May be empty: it matters to strategies that count by sender."""
    daddrs: Sequence[str]
    reserve: bool
    """Count each that passes, as a message would be."""


class InboundSink(Protocol):
    """Where messages from handsets go. The SMSC is told ok only after `take` has returned."""

    async def take(self, messages: list[InboundMessage]) -> None:
        """Keep all of them. What it raises means that none is kept: they are tried again, then sent back.

        A message may come twice (an SMSC repeats what it was not told ok in time), or incomplete.
        """
        ...


class Gateway(Protocol):
    """The core as a door sees it. All methods run in the loop's thread."""

    @property
    def ready(self) -> bool:
        """True between the start of traffic and the beginning of the drain."""
        ...

    @property
    def stream_room(self) -> int:
        """How many more messages streams may begin now; the last places are kept for unary calls.

        A door that can slow its callers down (HTTP/2 flow control) stops reading at 0, so that a campaign is
        never refused for the crowd. One with nothing outstanding may always begin one message.
        """
        ...

    async def authenticate(self, authorization: str | None, app_id: str | None, address: str) -> Caller:
        """Who opens a call, by two metadata values. Raises UnauthenticatedError, one text for all causes.

        `address` is where the call comes from ("" without one). May wait a moment beside a flood of bad
        tokens from there.
        """
        ...

    def authenticate_again(self, authorization: str | None, app_id: str | None) -> Caller:
        """Who sends on a call that is open: a token can be revoked. Raises UnauthenticatedError."""
        ...

    def submit(
        self,
        message: Message,
        caller: Caller,
        lane: Lane,
        reply: Callable[[int, Answer], None],
        tag: int = 0,
        deadline: float | None = None,
    ) -> Ticket:
        """Take one message. `reply(tag, answer)` is called exactly once, perhaps before this returns.

        `deadline` is on the loop's clock (seconds); one that passes before the submission begins ends the
        message as `expired`.
        """
        ...

    def link_status(self, caller: Caller, route_id: int) -> tuple[bool, str]:
        """(a message could be submitted now, the SMSC's system_id). Raises NotFoundError, ForbiddenError."""
        ...

    def measure(self, caller: Caller, route_id: int, text: str) -> TextMeasure:
        """Segments `text` as `route_id` would (0 = defaults). Raises NotFoundError, ForbiddenError."""
        ...

    async def message_info(self, caller: Caller, route_id: int, message_id: str) -> MessageRecord | None:
        """The record, or None when the caller may not know it or it does not exist (spec §2, SmsInfo)."""
        ...

    async def screen(self, caller: Caller, audience: Audience) -> list[str]:
        """One word a number, in order: a verdict of the contact policy, or `invalid`.

        Raises ForbiddenError and RefusedError; then, and when it is cancelled, nothing stays counted.
        """
        ...

    def link_bound(self, link_id: int) -> bool | None:
        """Whether the link is bound now; None for an unknown id (health)."""
        ...

"""One message on its way: the single object that walks the stages (docs/ARCHITECTURE.md, "the hot path").

No task, no future, no lock per message: stages are plain functions of a job, and batches of jobs cross the
I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

from smsproxy.domain.address import Address
from smsproxy.domain.caller import Caller
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, SegmentOutcome
from smsproxy.links.base import Slot
from smsproxy.pipeline.ports import Lane
from smsproxy.stores.base import Intent
from smsproxy.text.segmentation import SegmentedText, segment

if TYPE_CHECKING:
    import asyncio

    from smsproxy.pipeline.base import SubmitLink


class Stage(IntEnum):
    """How far a job has come. From RECORDING on octets may leave, so it can no longer be withdrawn."""

    CHECKING = 0
    WAITING = 1
    RECORDING = 2
    SUBMITTING = 3
    ENDED = 4


class Job:
    """A message, its caller, and what the stages have found out. Also the link's `Submission`."""

    __slots__ = (
        "caller",
        "deadline",
        "destination",
        "fair_key",
        "followers",
        "intent",
        "lane",
        "link",
        "message",
        "message_id",
        "on_cancel",
        "outcomes",
        "recorded",
        "reference",
        "repeatable",
        "replaces",
        "reply",
        "reserved",
        "slots",
        "source",
        "stage",
        "stopped",
        "tag",
        "text",
        "timer",
        "unanswered",
        "unstored",
        "written",
    )

    def __init__(
        self,
        message: Message,
        caller: Caller,
        lane: Lane,
        reply: Callable[[int, Answer], None],
        tag: int,
        deadline: float | None,
        on_cancel: Callable[[Job], None],
    ) -> None:
        self.message = message
        self.caller = caller
        self.lane = lane
        self.reply = reply
        self.tag = tag
        self.deadline = deadline
        self.on_cancel = on_cancel
        self.stage = Stage.CHECKING
        self.message_id = b""
        self.repeatable = False
        """The caller gave a transaction_id: a repeat of this message finds it (spec §2.3)."""
        self.replaces = 0
        self.reserved = False
        """The contact policy counts this message until it is given back."""
        self.followers: list[Job] | None = None
        """Repeats that wait for this one's end."""
        self.timer: asyncio.TimerHandle | None = None
        self.link: SubmitLink | None = None
        self.intent: Intent | None = None
        self.fair_key = (message.app_id, lane.value)
        self.source: Address = _NOWHERE
        self.destination: Address = _NOWHERE
        self.text: SegmentedText = _NOTHING
        self.reset_submission()

    def reset_submission(self) -> None:
        """As if no link had seen it yet (first try, or the next pool member after a proven NotSent)."""
        self.slots: list[Slot] = []
        self.written = 0
        self.stopped = False
        self.reference = 0
        self.outcomes: list[SegmentOutcome | None] = []
        self.unanswered = 0
        self.unstored = 0
        self.recorded = True
        """False once a result could not be stored at once: then the caller is told `unknown`."""

    def cancel(self) -> bool:
        """Ticket.cancel: True when it could be withdrawn before anything was sent."""
        if self.stage >= Stage.RECORDING:
            return False
        self.on_cancel(self)
        return True

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


_NOWHERE = Address(0, 0, "")
_NOTHING = segment("")

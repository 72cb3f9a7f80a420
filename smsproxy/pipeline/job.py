"""One message on its way: the single object that walks the stages (docs/ARCHITECTURE.md, "the one idea").

No task, no future, no lock per message: stages are plain functions of a job, and batches of jobs cross the
I/O. Every stage and the link read and write it; what it answers in the end is decided in `ends`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

from smsproxy.domain.address import Address
from smsproxy.domain.caller import Caller
from smsproxy.domain.ids import id_text
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, SegmentOutcome
from smsproxy.links.base import Slot
from smsproxy.pipeline import fields
from smsproxy.pipeline.ports import Lane
from smsproxy.policy.base import PolicyRequest
from smsproxy.stores.base import Intent
from smsproxy.text.segmentation import SegmentedText, TextOptions

if TYPE_CHECKING:
    from smsproxy.pipeline.base import SubmitLink


class Stage(IntEnum):
    """How far a job has come. From RECORDING on octets may leave, so it can no longer be withdrawn."""

    CHECKING = 0
    """A look-up or the contact policy holds it."""
    FOLLOWING = 1
    """It waits for the first send of the same request."""
    WAITING = 2
    """A link holds it until it has a token and a slot."""
    RECORDING = 3
    """Its intent is being stored."""
    SUBMITTING = 4
    """Its intent is stored; segments are written and answered."""
    ENDED = 5
    """Its answer is decided."""
    WITHDRAWN = 6
    """Its caller left before anything was sent: it gets no answer."""


# An enum's attribute is found by way of its metaclass, a global at once: these are read for every message.
CHECKING = Stage.CHECKING
FOLLOWING = Stage.FOLLOWING
WAITING = Stage.WAITING
RECORDING = Stage.RECORDING
SUBMITTING = Stage.SUBMITTING
ENDED = Stage.ENDED
WITHDRAWN = Stage.WITHDRAWN


class Job:
    """A message, its caller, and what the stages have found out. Also the link's `Submission`."""

    __slots__ = (
        "answer",
        "caller",
        "deadline",
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
        "reservation",
        "slots",
        "stage",
        "stopped",
        "tag",
        "takeovers",
        "text",
        "text_options",
        "timer",
        "tries_anew",
        "unanswered",
        "unstored",
        "written",
    )

    # Set by the stage that finds them out; to read one earlier is a fault of ours.
    text: SegmentedText
    text_options: TextOptions
    """What `text` was made by."""
    link: SubmitLink
    intent: Intent
    outcomes: list[SegmentOutcome | None]
    """One for each segment, once the intent is stored."""

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
        self.stage = CHECKING
        self.message_id = b""
        self.repeatable = False
        """The caller gave a transaction_id: a repeat of this message finds it (spec §2.3)."""
        self.replaces = 0
        """Generation of the refused record that this try takes over."""
        self.takeovers = 0
        """How often its message_id turned out to be taken while it was being stored."""
        self.tries_anew = False
        """A repeat that tries again for those who waited with it for a send that was refused."""
        self.reservation: PolicyRequest | None = None
        """The contact policy counts this message until it is given back."""
        self.answer: Answer | None = None
        """Decided already, but something has to be undone before it is told."""
        self.followers: dict[Job, None] | None = None
        """Repeats that wait for this one's end, first come first."""
        self.timer: asyncio.TimerHandle | None = None
        self.reset_submission()

    def __repr__(self) -> str:
        return f"<Job {self.stage.name} written={self.written} slots={len(self.slots)}>"

    def reset_submission(self) -> None:
        """As if no link had seen it yet (first try, or the next pool member after a proven NotSent)."""
        self.slots: tuple[Slot, ...] = ()
        self.written = 0
        self.stopped = False
        self.reference = 0
        self.unanswered = 0
        self.unstored = 0
        self.recorded = True
        """False once a result could not be stored at once: then the caller is told `unknown`."""

    # Made when asked for, not kept: fifty thousand messages may wait for their turn.

    @property
    def fair_key(self) -> tuple[int, str]:
        """Whose turn it takes when it waits for a place (links.base.Submission)."""
        return self.message.app_id, self.lane

    @property
    def source(self) -> Address:
        return fields.source(self.message)

    @property
    def destination(self) -> Address:
        return fields.destination(self.message)

    @property
    def shown_id(self) -> str:
        """The message_id as the caller sees it; where we made the transaction_id, it is the same text."""
        return id_text(self.message_id) if self.repeatable else self.message.transaction_id

    def cancel(self) -> bool:
        """Ticket.cancel: True when it could be withdrawn before anything was sent."""
        if self.stage >= RECORDING:
            return self.stage is WITHDRAWN
        self.on_cancel(self)
        return True

    def overdue(self, now: float) -> bool:
        """Whether its deadline has passed at `now` (the loop's clock)."""
        return self.deadline is not None and self.deadline <= now

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

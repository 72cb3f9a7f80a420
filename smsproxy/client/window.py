"""The places of one `send_many`: every message between the source and the consumer is in exactly one of three
queues, and together they hold at most `size`.

    source ─> unwritten ─> unanswered ─> answered ─> consumer
                  ^─────── rewind() ──────┘   (a new stream: what has no answer is written again, in order)

Plain functions, no await. Who calls: `stream`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from google.protobuf.message import Message

from smsproxy.client.errors import ProtocolError
from smsproxy.client.messages import Sms, SmsAnswer


@dataclass(slots=True)
class Open:
    """A message without an answer."""

    sms: Sms
    transaction_id: str
    wire: Message


class SendWindow:
    """See the module."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a window has at least one place, not {size}")
        self._size = size
        self._unwritten: deque[Open] = deque()
        self._unanswered: deque[Open] = deque()
        self._answered: deque[tuple[Sms, SmsAnswer]] = deque()
        self.answers = 0
        self.rewritten = 0

    def __repr__(self) -> str:
        return (
            f"<SendWindow {len(self)}/{self._size} unwritten={len(self._unwritten)} "
            f"unanswered={len(self._unanswered)} answered={len(self._answered)}>"
        )

    def __len__(self) -> int:
        return self.open + len(self._answered)

    @property
    def open(self) -> int:
        """Messages without an answer."""
        return len(self._unwritten) + len(self._unanswered)

    @property
    def has_room(self) -> bool:
        return len(self) < self._size

    def add(self, message: Open) -> None:
        """Take one from the source; only while there is room."""
        self._unwritten.append(message)

    def next_to_write(self) -> Message | None:
        """The next to put on the stream; from now on its answer may come."""
        if not self._unwritten:
            return None
        message = self._unwritten.popleft()
        self._unanswered.append(message)
        return message.wire

    def rewind(self) -> None:
        """A new stream knows nothing: the unanswered go before all others, in their order."""
        self.rewritten += len(self._unanswered)
        self._unanswered.extend(self._unwritten)
        self._unwritten, self._unanswered = self._unanswered, deque()

    def answer(self, answer: SmsAnswer) -> None:
        """Match the next answer of the stream: it is the oldest message's. Raises ProtocolError when not."""
        if not self._unanswered:
            raise ProtocolError("an answer came that nothing was asked for")
        oldest = self._unanswered[0]
        if answer.transaction_id not in ("", oldest.transaction_id):  # "": the daemon could not read it
            raise ProtocolError("answers do not come in the order of the requests")
        self._unanswered.popleft()
        self._answered.append((oldest.sms, answer))
        self.answers += 1

    def deliver(self) -> tuple[Sms, SmsAnswer] | None:
        """The next pair for the consumer, None when there is none yet."""
        return self._answered.popleft() if self._answered else None

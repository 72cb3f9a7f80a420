"""Sends the rows of a campaign over one stream and counts what became of them (`smsproxy send --file`).

Rows that were accepted in an earlier run are passed over. What the daemon cannot take now (`rate_limited`,
`unavailable`: provably not sent) is fed again, a few times, before new rows. Who calls: `send`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from smsproxy.cli.campaign_file import CampaignFile, Row, RowFault
from smsproxy.cli.pace import Pace
from smsproxy.cli.sent_file import SentFile, SentFileError
from smsproxy.client import Sms, SmsAnswer, SmsClient

WINDOW = 1000
"""Messages under way. The daemon's own window per stream is 1,024 by default."""
TRIES = {"rate_limited": 30, "unavailable": 5}
"""How often a row is fed at most when this is the answer. The pace finds a rate within a few rounds; a link
that is down for longer than its tries with `UNAVAILABLE_PAUSE_S` between them is for the next run."""
UNAVAILABLE_PAUSE_S = 1.0
MAX_REASONS = 1000
"""Reasons of refusals that are counted apart."""
FLUSH_EVERY = 200
"""Accepted rows between two flushes of the state file; those after the last one would be asked again."""


@dataclass(slots=True)
class Tally:
    """What became of the rows of one run."""

    rows: int = 0
    already: int = 0
    """Accepted in an earlier run, passed over."""
    accepted: int = 0
    repeated: int = 0
    """Of the accepted, those the daemon had from an earlier run."""
    refused: Counter[str] = field(default_factory=Counter)
    """By status."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By status and error text; past `MAX_REASONS` of them a new text counts as none."""

    @property
    def done(self) -> int:
        return self.already + self.accepted + self.refused.total()

    def count(self, answer: SmsAnswer) -> None:
        if answer.success:
            self.accepted += 1
            self.repeated += answer.repeated
        else:
            self.refused[answer.status] += 1
            reason = (answer.status, answer.error)
            known = reason in self.reasons or len(self.reasons) < MAX_REASONS
            self.reasons[reason if known else (answer.status, "")] += 1


@dataclass(slots=True)
class _Fed:
    """A row that is under way, and when it was fed."""

    row: Row
    at: float
    tries: int


class Campaign:
    """One run over a file. `tally` is kept up to date; `on_answer` is told every final answer."""

    def __init__(
        self,
        file: CampaignFile,
        sent: SentFile,
        tally: Tally,
        on_answer: Callable[[Row, SmsAnswer], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.tally = tally
        self._file = file
        self._sent = sent
        self._on_answer = on_answer
        self._sleep = sleep
        self._now = asyncio.get_running_loop().time
        self._pace = Pace()
        self._under_way: deque[_Fed] = deque()
        self._again: deque[tuple[Row, int]] = deque()
        self._answered = asyncio.Event()

    async def run(self, client: SmsClient, window: int = WINDOW) -> None:
        """Send what is left of it. Raises ClientError; what was accepted until then is noted."""
        async with contextlib.aclosing(client.send_many(self._feed(), window)) as answers:
            async for _, answer in answers:
                self._take(answer)

    async def _feed(self) -> AsyncIterator[Sms]:
        """Rows to send, the refused-for-now before new ones, no faster than the pace."""
        rows = self._new_rows()
        while True:
            row, tries = await self._next(rows)
            if row is None:
                return
            while wait_s := self._pace.wait_s(self._now()):
                await self._sleep(wait_s)
            self._under_way.append(_Fed(row, self._now(), tries + 1))
            yield replace(row.sms, transaction_id=self._sent.transaction_id(row))

    async def _next(self, rows: Iterator[Row]) -> tuple[Row | None, int]:
        while True:
            if self._again:
                return self._again.popleft()
            row = next(rows, None)
            if row is not None or not self._under_way:
                return row, 0
            self._answered.clear()  # all are under way: one may come back
            await self._answered.wait()

    def _new_rows(self) -> Iterator[Row]:
        for row in self._file.rows():
            if isinstance(row, RowFault):  # the file was checked before: somebody changes it
                raise SentFileError(f"{self._file.path}: line {row.line}: {row.message}")
            if row.key in self._sent.accepted:
                self.tally.already += 1
            else:
                yield row

    def _take(self, answer: SmsAnswer) -> None:
        fed = self._under_way.popleft()
        self._answered.set()
        if fed.tries < TRIES.get(answer.status, 0):
            if answer.status == "rate_limited":
                self._pace.limited(fed.at, self._now(), answer.retry_after_ms / 1000)
            else:
                self._pace.pause(self._now(), UNAVAILABLE_PAUSE_S)
            self._again.append((fed.row, fed.tries))
            return
        self.tally.count(answer)
        if answer.success:
            self._pace.accepted()
            self._sent.add(fed.row, answer)
            if self.tally.accepted % FLUSH_EVERY == 0:
                self._sent.flush()
        self._on_answer(fed.row, answer)

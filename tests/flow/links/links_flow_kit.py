"""A link with its runner on real sockets, a pipeline in small, and a log that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from smsproxy.aio.wait import settled
from smsproxy.limits.gcra import Gcra
from smsproxy.links.base import text_options
from smsproxy.links.connects import ConnectLimiter
from smsproxy.links.link import Link
from smsproxy.links.references import References
from smsproxy.links.runner import LinkRunner
from smsproxy.settings import LinkSettings
from smsproxy.settings.secrets import Secret
from tests.unit.links.links_kit import APP, Desk, Message

BOUND_S = 5.0


class Lines:
    """A log: (level, event, fields) of every line."""

    def __init__(self, fields: dict[str, Any] | None = None, lines: list[Any] | None = None) -> None:
        self._fields = fields or {}
        self.lines: list[tuple[str, str, dict[str, Any]]] = [] if lines is None else lines

    def bind(self, **fields: Any) -> Lines:
        return Lines({**self._fields, **fields}, self.lines)

    def _line(self, level: str) -> Callable[..., None]:
        return lambda event, **fields: self.lines.append((level, event, {**self._fields, **fields}))

    def __getattr__(self, level: str) -> Callable[..., None]:
        assert level in ("debug", "info", "warning", "error", "exception")
        return self._line(level)

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]

    def fields(self, event: str) -> dict[str, Any]:
        return next(fields for _, name, fields in self.lines if name == event)


class Waits:
    """The runner's sleep: remembers how long it should be, and ends when the test says so."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self._begun = asyncio.Semaphore(0)
        self._over = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.delays.append(seconds)
        self._begun.release()
        await self._over.acquire()

    async def begun(self) -> float:
        """Wait until a pause begins; its length."""
        async with asyncio.timeout(BOUND_S):
            await self._begun.acquire()
        return self.delays[-1]

    def end(self) -> None:
        self._over.release()


def link_settings(port: int, **values: Any) -> LinkSettings:
    defaults = {
        "host": "127.0.0.1",
        "port": port,
        "system_id": "esme",
        "password": Secret("secret"),
        "rate_per_s": 0,
        "reconnect_max_s": 120,
    }
    return LinkSettings(**{**defaults, **values})


class LiveLink:
    """`async with`: begins to connect, and at the end unbinds and leaves nothing behind."""

    def __init__(
        self, port: int, *, jitter: float = 0.0, connects: ConnectLimiter | None = None, **settings: Any
    ) -> None:
        self.settings = link_settings(port, **settings)
        self.desk = Desk()
        self.log = Lines()
        self.waits = Waits()
        loop = asyncio.get_running_loop()
        shaper = Gcra(self.settings.rate_per_s, self.settings.burst)
        text = text_options(self.settings, 10)
        self.link = Link(7, self.settings, text, shaper, self.desk, loop, References())
        self.desk.link = self.link
        log: Any = self.log
        self.runner = LinkRunner(
            self.link, log, connects or ConnectLimiter(), lambda: jitter, self.waits.sleep
        )

    async def __aenter__(self) -> LiveLink:
        self.runner.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        assert_nothing_left()
        assert self.link.idle or self.desk.unstored, self.link

    async def stop(self) -> None:
        await self.runner.stop(1.0)

    async def bound(self) -> None:
        await until(lambda: self.link.bound)

    def offer(self, parts: int = 1, name: str = "m", key: tuple[int, str] = APP) -> Message:
        message = Message(name, parts, key)
        self.link.offer(message)
        return message


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that has no event of its own."""
    assert await settled(lambda: bool(condition()), timeout_s=BOUND_S, poll_s=0.001)


async def ended(*messages: Message) -> None:
    await until(lambda: all(message.ended for message in messages))


def assert_nothing_left() -> None:
    """No task of a link is alive, no timer of one is set."""
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith("link-")], names
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", [])
    ours = [timer for timer in scheduled if not timer.cancelled() and "smsproxy" in repr(timer)]
    assert ours == []

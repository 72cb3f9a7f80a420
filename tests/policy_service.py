"""An external policy service for tests: a real HTTP server in a thread, right or with one of many faults.

It judges with our own rules over memory, so that the contract suite can ask it what it asks the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from smsproxy.domain.ids import parse_id
from smsproxy.policy.base import PolicyRequest
from smsproxy.policy.blacklist import Blacklist
from smsproxy.policy.embedded import EmbeddedState
from smsproxy.policy.engine import ContactPolicy
from smsproxy.policy.memory import MemoryKeyValue
from smsproxy.policy.strategies import Strategy

_BODIES = {
    "garbage": "<html>busy</html>",
    "not an object": "[1]",
    "no pass": '{"state": "ok"}',
    "pass is text": '{"state": "ok", "pass": "true"}',
    "unheard-of state": '{"state": "fine", "pass": true}',
    "state is a number": '{"state": 1, "pass": true}',
    "refusal without reason": '{"state": "ok", "pass": false}',
    "unavailable": '{"state": "unavailable", "pass": false}',
    "cut short": '{"state": "ok", "pa',
    "empty": "",
    "nested": "[" * 100_000,
    "endless": '{"state": "ok", "pass": true, "why": "' + "x" * 1_000_000 + '"}',
}
FAULTS = [*_BODIES, "status 500", "status 404", "redirect", "slow", "hang up"]


class PolicyService:
    """`with PolicyService(...) as service: service.url`. `fault` is read by each call; "" is none."""

    def __init__(self, *strategies: Strategy, clock: Callable[[], float] = time.time) -> None:
        memory = EmbeddedState(MemoryKeyValue(clock))
        self.policy = ContactPolicy(strategies, "UTC", memory, clock, Blacklist())
        self.fault = ""
        self.slow_s = 5.0
        self.bodies: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self.connections: set[tuple[str, int]] = set()
        self.busy = self.busiest = 0
        self._listener = _listener(0)
        self.port: int = self._listener.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/policy"

    def __enter__(self) -> PolicyService:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the port of before."""
        listener = self._listener if self._listener.fileno() >= 0 else _listener(self.port)
        self._listener = listener
        self._server = _Server(_config(self._application()))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener)), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def stop(self) -> None:
        """Down: connections are refused."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        self._listener.close()
        self._server = None

    async def _serve(self, listener: socket.socket) -> None:
        assert self._server is not None
        await self._server.serve([listener])

    def _application(self) -> Starlette:
        return Starlette(routes=[Route("/policy", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.calls[body["op"]] += 1
        assert request.client is not None
        self.connections.add(tuple(request.client))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            return await self._faulty(request) if self.fault else await self._judged(body)
        finally:
            self.busy -= 1

    async def _faulty(self, request: Request) -> Response:
        if self.fault == "slow":
            await asyncio.sleep(self.slow_s)
        elif self.fault == "redirect":
            return RedirectResponse("/elsewhere", 307)
        elif self.fault.startswith("status "):
            return PlainTextResponse("", int(self.fault[7:]))
        elif self.fault == "hang up":
            raise ConnectionAbortedError
        return PlainTextResponse(_BODIES.get(self.fault, ""), 200)

    async def _judged(self, body: dict[str, Any]) -> Response:
        message_id = parse_id(body["message_id"])
        assert message_id is not None
        digest = bytes.fromhex(body["text_sha256"])
        names = ("strategy", "app_id", "daddr", "saddr")
        one = PolicyRequest(message_id, *(body[name] for name in names), digest, body["task_id"])
        if body["op"] == "release":
            await self.policy.release([one])
            return PlainTextResponse('{"state": "ok", "pass": true}')
        judge = self.policy.reserve if body["op"] == "reserve" else self.policy.check
        (verdict,) = await judge([one])
        passes = "true" if verdict == "ok" else "false"
        return PlainTextResponse(f'{{"state": "{verdict.value}", "pass": {passes}}}')


def _listener(port: int) -> socket.socket:
    # Named TCP, or asyncio leaves Nagle on and each answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def _config(application: Starlette) -> uvicorn.Config:
    return uvicorn.Config(application, http="h11", ws="none", lifespan="off", log_config=None, loop="asyncio")


class _Server(uvicorn.Server):
    """uvicorn in a thread: signals are not its business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

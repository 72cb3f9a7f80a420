"""smpp34, a Rust implementation of SMPP that shares no line with ours, as the SMSC on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import smpp34

from smsproxy.aio.wait import settled

BOUND_S = 10.0


class ForeignSmsc:
    """`async with`. Takes what `verdict` says 0 to, and sends a receipt for all of it that asks for one.

    It hands PDUs over from threads of its own, so their order here is not the order on the wire.
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self.verdict: Callable[[Any], int] = lambda _: 0
        self.state = "DELIVRD"
        self.esmes: dict[str, Any] = {}
        self.submits: list[Any] = []
        self.taken: dict[str, Any] = {}
        """What was accepted, by the id it got."""
        self.receipt_answers: list[int] = []
        self.unbound = asyncio.Event()
        self._server = smpp34.Server("127.0.0.1", self.port, system_id="smpp34")
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ForeignSmsc:
        await self._server.start()
        self._keep(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.stop()

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        while True:
            event = await self._server.next()
            if isinstance(event, smpp34.Esme):
                self.esmes[event.session_id] = event
            elif isinstance(event, smpp34.Unbound):
                self.unbound.set()
            else:
                self._take(event)

    def _take(self, submit: Any) -> None:
        self.submits.append(submit)
        status = self.verdict(submit)
        if status:
            submit.reject(status)
            return
        smsc_id = f"foreign-{len(self.taken) + 1}"
        self.taken[smsc_id] = submit
        submit.accept(smsc_id)
        if submit.registered_delivery & 1:
            self._keep(self._deliver(submit, smsc_id))

    async def _deliver(self, submit: Any, smsc_id: str) -> None:
        text = (
            f"id:{smsc_id} sub:001 dlvrd:001 submit date:2611210600 done date:2611210601 "
            f"stat:{self.state} err:000 text:"
        )
        esme = self.esmes[submit.session_id]
        with contextlib.suppress(smpp34.SmppError):  # a link that unbinds leaves its receipts unanswered
            answer = await esme.deliver_sm(
                source_addr=submit.destination_addr,
                destination_addr=submit.source_addr,
                esm_class=4,
                short_message=text.encode(),
            )
            self.receipt_answers.append(answer.command_status)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what the Rust side does in threads of its own."""
    assert await settled(lambda: bool(condition()), timeout_s=BOUND_S, poll_s=0.002)


def _free_port() -> int:
    """smpp34 does not tell which port it got, so it cannot be left to choose one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

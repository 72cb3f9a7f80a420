"""Callers of row 26: half of them grpcio, half grpclib (smsproxy.client), unary and on streams.

Each message is asked for until it has an end. What a daemon or a client library says was not sent is noted as
`unavailable` and sent again, with the same transaction_id, to whichever instance the balancer then gives: if
that was a lie, the ledger finds a double, or a repeat of something that nobody sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
from callers import Messages, call_soon
from rows_kit import BY_COMPLETION

from smsproxy.client import Sms, SmsAnswer, SmsClient
from tests.flow.kit import Client, token

NOT_SENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_AGAIN_S = 0.02


class RollingCallers:
    """`with`: they call `target`; leaving waits until every message has its end. `each_s`: a pace."""

    def __init__(self, target: str, messages: Messages, *, unary: int, streams: int, each_s: float) -> None:
        self._target = target
        self._messages = messages
        self._unary, self._streams, self._each_s = unary, streams, each_s
        self._stop = threading.Event()
        self._faults: list[BaseException] = []
        self.notes: Counter[str] = Counter()
        """Why streams and calls of grpcio had to be made again, and the repeats that smsproxy.client made."""
        work: list[Callable[[], None]] = [self._foreign_unary] * unary + [self._foreign_stream] * streams
        self._threads = [
            threading.Thread(target=self._watched, args=(one,)) for one in [*work, self._run_ours]
        ]

    def __enter__(self) -> RollingCallers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a caller without an end"
        assert not self._faults, self._faults

    def _watched(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as fault:  # told to the test by __exit__
            self._faults.append(fault)

    def _new_key(self) -> str:
        return self._messages.new(1)[0]

    # -- grpcio ---------------------------------------------------------------------------------------------

    def _foreign_unary(self) -> None:
        log = self._messages.log
        with Client(self._target, retries=True) as client:
            while not self._stop.is_set():
                key = self._new_key()
                while not self._told(client, key):
                    time.sleep(_AGAIN_S)
                assert log.requests[key].heard

    def _told(self, client: Client, key: str) -> bool:
        """One attempt; False when it was not sent."""
        log = self._messages.log
        log.asked(key)
        try:
            answer = call_soon(client, self._messages.request(key)).result()
        except grpc.RpcError as error:
            self.notes[f"grpcio unary {error.code().name}"] += 1
            if error.code() not in NOT_SENT:
                raise
            log.refused(key, "unavailable")
            return False
        log.answered(answer)
        return bool(answer.status != "unavailable")

    def _foreign_stream(self) -> None:
        again: deque[str] = deque()
        with Client(self._target, retries=True) as client:
            while not self._stop.is_set() or again:
                self._one_foreign_stream(client, again)

    def _one_foreign_stream(self, client: Client, again: deque[str]) -> None:
        """A stream to its end; what it left unanswered goes to `again`."""
        log = self._messages.log
        ended = threading.Event()
        open_ones: dict[str, None] = {}
        lock = threading.Lock()

        def requests() -> Iterator[Any]:
            while again or not self._stop.wait(self._each_s):
                with lock:
                    if ended.is_set():
                        return
                    key = again.popleft() if again else self._new_key()
                    open_ones[key] = None
                    log.asked(key)
                yield self._messages.request(key)

        try:
            for answer in client.stream(requests(), metadata=BY_COMPLETION, timeout=600, wait_for_ready=True):
                log.answered(answer)
                open_ones.pop(answer.transaction_id)
                if answer.status == "unavailable":
                    again.append(answer.transaction_id)
        except grpc.RpcError as error:
            self.notes[f"grpcio stream {error.code().name}"] += 1
            if error.code() not in NOT_SENT:
                raise
            time.sleep(_AGAIN_S)
        with lock:
            ended.set()
            for key in open_ones:
                log.refused(key, "unavailable")
                again.append(key)

    # -- grpclib --------------------------------------------------------------------------------------------

    def _run_ours(self) -> None:
        asyncio.run(self._ours())

    async def _ours(self) -> None:
        clients = [SmsClient(self._target, token, app_id=1) for _ in range(self._unary + self._streams)]
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            for number, client in enumerate(clients):
                await stack.enter_async_context(client)
                tasks.create_task(
                    self._our_unary(client) if number < self._unary else self._our_stream(client)
                )
        for client in clients:
            self.notes["grpclib streams made again"] += client.reconnects

    async def _our_unary(self, client: SmsClient) -> None:
        while not self._stop.is_set():
            key = self._new_key()
            while True:
                self._messages.log.asked(key)
                answer = await client.send(self._sms(key))
                self._noted(answer)
                if answer.status != "unavailable":
                    break
                self.notes["grpclib unary UNAVAILABLE"] += 1
                await asyncio.sleep(_AGAIN_S)

    async def _our_stream(self, client: SmsClient) -> None:
        async def source() -> AsyncIterator[Sms]:
            while not self._stop.is_set():
                key = self._new_key()
                self._messages.log.asked(key)
                yield self._sms(key)
                await asyncio.sleep(self._each_s)

        async with contextlib.aclosing(client.send_many(source())) as answers:
            async for _, answer in answers:
                self._noted(answer)

    def _noted(self, answer: SmsAnswer) -> None:
        self._messages.log.answered(answer)

    def _sms(self, key: str) -> Sms:
        request = self._messages.request(key)
        return Sms(
            request.esme, request.saddr, request.daddr, request.message, request.strategy, transaction_id=key
        )

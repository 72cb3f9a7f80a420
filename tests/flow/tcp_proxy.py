"""A TCP proxy between callers and daemons: a balancer that goes round over its targets, and cuts on demand.

Runs a loop of its own in a thread, so that tests in any style can use it. `with`; `port` is where it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

_PIECE_BYTES = 65536
_LINGER_RST = struct.pack("ii", 1, 0)  # close() sends RST instead of FIN


class TcpProxy:
    """`targets` are ports of loopback; one that refuses is passed over for the next."""

    def __init__(self, *targets: int) -> None:
        self.targets = list(targets)
        self.port = 0
        self.cuts = 0
        self._turn = 0
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        self._server = self._do(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self, share: float = 1.0, chance: random.Random | None = None) -> int:
        """RST on both sides of each connection, or of a share of them; how many there were."""
        return self._do(lambda: self._cut(share, chance or random.Random(0)))

    # -- in the proxy's loop --------------------------------------------------------------------------------

    def _do(self, work: Callable[[], Any]) -> Any:
        done: Future[Any] = Future()

        async def run() -> None:
            try:
                found = work()
                done.set_result(await found if asyncio.iscoroutine(found) else found)
            except BaseException as error:  # told to the thread that waits
                done.set_exception(error)

        asyncio.run_coroutine_threadsafe(run(), self._loop)
        return done.result(10)

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _close(self) -> None:
        self._server.close()
        for pair in list(self._pairs):
            for writer in pair:
                writer.close()
        for _ in range(100):
            if not self._pairs:
                return
            await asyncio.sleep(0.01)

    async def _cut(self, share: float, chance: random.Random) -> int:
        chosen = [pair for pair in self._pairs if share >= 1 or chance.random() < share]
        for pair in chosen:
            for writer in pair:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RST)
                writer.transport.abort()
        self.cuts += len(chosen)
        return len(chosen)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = await self._connected()
        if opened is None:
            writer.close()
            return
        pair = (writer, opened[1])
        self._pairs.append(pair)
        try:
            await asyncio.gather(_pump(reader, opened[1]), _pump(opened[0], writer))
        finally:
            self._pairs.remove(pair)
            for one in pair:
                one.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """To the next target that accepts; None when none does."""
        for _ in self.targets:
            self._turn += 1
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(
                    "127.0.0.1", self.targets[self._turn % len(self.targets)]
                )
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end; then the other side hears the end, too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()

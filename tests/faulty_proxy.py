"""A TCP proxy that fails on demand: in front of Redis, a store or an SMSC.

    async with FaultyProxy("/path/to/socket") as proxy:   # or ("127.0.0.1", 6379)
        proxy.deaf = True        # takes everything, forwards nothing
        proxy.delay_s = 2        # every chunk comes that late, in order
        proxy.cut_after = 100    # each connection is reset after so many octets from the server
        await proxy.stop()       # port closed, connections reset
        await proxy.start()      # the same port again

Faults hold from the next chunk on, for old and new connections.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType


class FaultyProxy:
    """See the module. `connections` counts what was accepted."""

    def __init__(self, target: str | tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        """`tls`: what clients must speak; the target is reached in plain."""
        self._target = target
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0
        self._hearing = asyncio.Event()
        self._hearing.set()
        self.delay_s = 0.0
        self.cut_after: int | None = None

    @property
    def deaf(self) -> bool:
        return not self._hearing.is_set()

    @deaf.setter
    def deaf(self, value: bool) -> None:
        if value:
            self._hearing.clear()
        else:
            self._hearing.set()

    async def __aenter__(self) -> FaultyProxy:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and reset those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def reset(self) -> None:
        """Cut every open connection; new ones are welcome."""
        for task in self._pipes:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(far_writer)
        there = asyncio.create_task(self._pipe(reader, far_writer, None))
        back = asyncio.create_task(self._pipe(far_reader, writer, writer))
        self._pipes |= {there, back}
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        self._pipes -= {there, back}
        for one in (writer, far_writer):
            one.transport.abort()
            self._writers.discard(one)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _pipe(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, counted: asyncio.StreamWriter | None
    ) -> None:
        """Hand on until an end. Chunks are late by `delay_s` each, not by the sum of all."""
        loop = asyncio.get_running_loop()
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1000)
        writing = asyncio.create_task(self._write_late(late, sink, counted))
        try:
            while chunk := await source.read(65_536):
                await late.put((loop.time() + self.delay_s, chunk))
        except OSError:
            return
        finally:
            writing.cancel()

    async def _write_late(
        self,
        late: asyncio.Queue[tuple[float, bytes]],
        sink: asyncio.StreamWriter,
        counted: asyncio.StreamWriter | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        passed = 0
        while True:
            due, chunk = await late.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._hearing.wait()
            passed += len(chunk)
            if counted is not None and self.cut_after is not None and passed >= self.cut_after:
                sink.write(chunk[: max(0, self.cut_after - passed + len(chunk))])
                counted.transport.abort()
                return
            sink.write(chunk)

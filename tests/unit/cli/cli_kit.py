"""What the tests of the commands share: a configuration, and a fake daemon in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from click.testing import Result
from fake_daemon import FakeDaemon

SECRET = "a-secret-of-the-tests-with-more-than-32-octets"

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
[apps.1]
name = "demo"
secret = "{secret}"
[store]
url = "memory:"
[links.100]
host = "127.0.0.1"
port = {smsc_port}
system_id = "smsproxy"
password = "secret12"
[links.101]
host = "127.0.0.1"
system_id = "smsproxy"
password = "secret12"
[pools.1000]
members = [{{ link = 100, weight = 1 }}]
"""

Invoke = Callable[..., Result]


def write_config(directory: Path, port: int = 44044, smsc_port: int = 2775, more: str = "") -> Path:
    path = directory / "smsproxy.toml"
    path.write_text(CONFIG.format(port=port, secret=SECRET, smsc_port=smsc_port) + more)
    return path


class DaemonThread:
    """A FakeDaemon with a loop of its own, so that commands can run theirs."""

    def __init__(self) -> None:
        self.fake = FakeDaemon()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.fake.start(), self._loop).result(5)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.fake.aclose(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

"""What the flow tests share: the daemon and the simulator as processes, and grpcio as a foreign client.

Everything listens on loopback, on ports the system chooses. Waits are for events, with a bound.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import jwt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from smsproxy.simulator import ledger
from smsproxy.simulator.entry import Entry
from smsproxy.simulator.truth import read_entries

ROOT = Path(__file__).resolve().parents[2]
START_S = 20.0
SECRET = "a-secret-of-the-tests-that-is-long-enough"
LEAK = re.compile(rf"{SECRET}|eyJ[\w-]{{10,}}\.|998\d{{9}}(?!\d)")
"""A secret, a token, or a full number."""
SMSPROXY = [sys.executable, "-m", "smsproxy"]
_SERVICE = "/sms.v1.SmsService/"


# -- processes -----------------------------------------------------------------------------------------------


class Process:
    """A program, by default ours. Its output is collected; `wait_line` waits for a line with a bound."""

    def __init__(
        self, arguments: list[str], *, env: dict[str, str] | None = None, program: list[str] = SMSPROXY
    ) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [*program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_line(self, text: str, timeout_s: float = START_S) -> str:
        """The first line that contains `text`."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"no line with {text!r}:\n" + "\n".join(self.lines[-40:]))
                self._changed.wait(min(left, 0.5))

    def wait_count(self, text: str, count: int, timeout_s: float = START_S) -> None:
        """Until `count` lines contain `text`."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while sum(text in line for line in self.lines) < count:
                left = deadline - time.monotonic()
                assert left > 0, "\n".join(self.lines[-40:])
                self._changed.wait(min(left, 0.5))

    def count_lines(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 35.0) -> int:
        """Send the signal, wait for the end; the exit code (negative: killed by that signal)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=timeout_s)
        self._reader.join(timeout=5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


class Daemon(Process):
    """`smsproxy run` on a configuration file."""

    def __init__(self, config: Path, *, env: dict[str, str] | None = None) -> None:
        super().__init__(["run", "--config", str(config)], env=env)
        try:
            self.port = int(json.loads(self.wait_line('"event": "ready"'))["port"])
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def wait_bound(self, link_id: int = 100) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if '"event": "link_bound"' in line and f'"link_id": {link_id}' in line:
                    return
            with self._changed:
                self._changed.wait(0.2)
        raise AssertionError("not bound:\n" + "\n".join(self.lines[-20:]))

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"


class Smsc(Process):
    """`smsproxy smsc` with a script (a TOML table) and a truth log that is read once it stopped."""

    def __init__(self, folder: Path, script: dict[str, Any], *, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._truth = folder / "truth.jsonl"
        script_file = folder / "script.toml"
        lines = [f"{key} = {_toml(value)}" for key, value in {"hints": False, **script}.items()]
        script_file.write_text("\n".join(lines) + "\n")
        super().__init__(
            ["smsc", "--port", str(port), "--script", str(script_file), "--truth", str(self._truth)]
        )
        try:
            self.port = int(self.wait_line("listening on ").rpartition(":")[2])
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def entries(self) -> list[Entry]:
        """Every PDU it saw or wrote. Stops it first, so that nothing is missing."""
        self.stop()
        return read_entries(self._truth)

    def texts(self) -> list[str | None]:
        """What handsets would show, message by message, doubles included."""
        return [text.text for text in ledger.texts(self.entries())]


@contextlib.contextmanager
def running(process: Process) -> Iterator[Any]:
    """Ends the process whatever happens; it showed no traceback, and a daemon nothing of its callers'."""
    try:
        yield process
    finally:
        process.stop()
        assert not process.count_lines("Traceback"), "\n".join(process.lines)
        if isinstance(process, Daemon):
            assert [line for line in process.lines if LEAK.search(line)] == []


# -- configuration -------------------------------------------------------------------------------------------


@dataclass
class Config:
    """A configuration in a folder of its own. Tables are merged into a working default."""

    folder: Path
    smsc_port: int
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "smsproxy.toml"

    def write(self) -> Path:
        tables: dict[str, dict[str, Any]] = {
            "server": {"listen": "127.0.0.1:0"},
            "http": {"listen": ""},
            "apps.1": {"secret": SECRET},
            "policy": {},
            "policy.blacklist": {"files": []},
            "store": {"url": "sqlite:./store.db"},
            "links.100": {
                "host": "127.0.0.1",
                "port": self.smsc_port,
                "system_id": "flow",
                "password": "secret",
                "rate_per_s": 0,
                "window": 50,
                "reconnect_max_s": 0.2,
            },
            "pools.1000": {"members": [{"link": 100}]},
        }
        for name, table in self.tables.items():
            tables[name] = {**tables.get(name, {}), **table}
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for name, table in tables.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {_toml(value)}" for key, value in table.items()]
        self.path.write_text("\n".join(lines) + "\n")
        return self.path


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


# -- grpcio, a foreign client --------------------------------------------------------------------------------


def _load_messages() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    data = (ROOT / "smsproxy/rpc/gen/descriptors.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    stems = ("Sms", "SmsStatus", "CheckESME", "CheckTextLen")
    names = [stem + kind for stem in stems for kind in ("Request", "Response")]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"sms.v1.{name}")) for name in names
    }


M = _load_messages()


def token(app_id: int = 1, *, ttl_s: float = 600, secret: str = SECRET) -> str:
    return jwt.encode({"app_id": app_id, "exp": int(time.time() + ttl_s)}, secret, "HS256")


def sms(**fields: Any) -> Any:
    """An SmsRequest that is fine; override what the test is about."""
    return M["SmsRequest"](
        **{
            "app_id": 1,
            "esme": 100,
            "saddr": "MYBRAND",
            "daddr": "998901234567",
            "message": "Hello",
            **fields,
        }
    )


class Client:
    """The five RPCs through grpcio."""

    def __init__(
        self,
        target: str,
        *,
        app_id: int = 1,
        bearer: str | None = None,
        retries: bool = False,
        tls: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`retries`: as grpcio has them by default, for callers that outlive a daemon."""
        # A pool of its own is a connection of its own; grpcio would share one among equal channels.
        options = [("grpc.enable_retries", int(retries)), ("grpc.use_local_subchannel_pool", 1)]
        if tls is None:
            self.channel = grpc.insecure_channel(target, options=options)
        else:
            self.channel = grpc.secure_channel(target, tls, options=options)
        self.metadata = [("authorization", f"Bearer {bearer or token(app_id)}"), ("app_id", str(app_id))]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def unary(self, method: str, request: Any, response: str, **options: Any) -> Any:
        call = self.channel.unary_unary(_SERVICE + method, _serialize, M[response].FromString)
        return call(request, metadata=self.metadata, **{"timeout": 30, **options})

    def send(self, request: Any = None, **options: Any) -> Any:
        return self.unary("SendMessage", request or sms(), "SmsResponse", **options)

    def stream(
        self, requests: Iterable[Any], metadata: list[tuple[str, str]] | None = None, **options: Any
    ) -> Any:
        call = self.channel.stream_stream(
            _SERVICE + "SendMessageStream", _serialize, M["SmsResponse"].FromString
        )
        return call(
            iter(requests), metadata=[*self.metadata, *(metadata or [])], **{"timeout": 60, **options}
        )

    def info(self, message_id: str, esme: int = 100) -> Any:
        return self.unary(
            "SmsInfo", M["SmsStatusRequest"](esme=esme, message_id=message_id), "SmsStatusResponse"
        )

    def wait_status(self, message_id: str, status: str, timeout_s: float = 10.0) -> Any:
        """SmsInfo until it says `status`."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.info(message_id)
            if found.status == status or time.monotonic() > deadline:
                assert found.status == status, found
                return found


def _serialize(message: Any) -> bytes:
    """Raw octets pass as they are, so that a test can send what no protobuf library would."""
    return message if isinstance(message, bytes) else message.SerializeToString()

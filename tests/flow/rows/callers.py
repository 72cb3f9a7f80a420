"""Callers that live through what rows 15, 26 and 27 do to them: each notes what it asked and what it heard.

When a connection breaks, the attempts without an end are noted as broken, so that the ledger knows that their
ends are nowhere. Messages are those of the held load: 70 % one GSM7 part, 20 % three UCS2 parts, 10 % with
the strategy cp1, each to a number of its own.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
from rows_kit import BY_COMPLETION, metrics

from tests.flow.kit import Client, Config, Daemon, M, Smsc, sms
from tests.flow.ledger import DriverLog

LINKS = 4
WINDOW = 50
LONG = "ж" * 150
_WORDS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: "rate_limited",
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "expired",
}
_OF_THE_DAEMON = ("no bound link", "draining", "store", "rate", "deadline")


def four_links(folder: Path, smsc: Smsc, more: dict[str, dict[str, Any]] | None = None, **link: Any) -> Path:
    """Links 100 to 103 to one SMSC, each with its own system_id, all in pool 1000; /metrics on http.sock."""
    ids = range(100, 100 + LINKS)
    tables: dict[str, dict[str, Any]] = {
        f"links.{link_id}": {
            "host": "127.0.0.1", "port": smsc.port, "system_id": f"flow{link_id}", "password": "x",
            "window": WINDOW, "rate_per_s": 0, "reconnect_max_s": 0.2, **link,
        }
        for link_id in ids
    }  # fmt: skip
    tables["pools.1000"] = {"members": [{"link": link_id} for link_id in ids]}
    tables["http"] = {"listen": f"unix:{folder}/http.sock"}
    return Config(folder, smsc.port, {**tables, **(more or {})}).write()


def bound(daemon: Daemon) -> Daemon:
    """The daemon, once all four are."""
    for link_id in range(100, 100 + LINKS):
        daemon.wait_bound(link_id)
    return daemon


def every_receipt_is_stored(daemon_socket: Path, within_s: float) -> None:
    """Wait until as many receipts are stored as segments were taken, by /metrics."""
    deadline = time.monotonic() + within_s
    while True:
        counted = metrics(daemon_socket)
        taken = sum(count for name, count in counted.items() if "submits_accepted_total" in name)
        left = taken - counted["smsproxy_receipts_stored_total"]
        if left <= 0:
            return
        assert time.monotonic() < deadline, f"{left} receipts are not stored"
        time.sleep(0.05)


class Messages:
    """The messages of a run by number, and their requests. Thread-safe: a number is made once."""

    def __init__(self, log: DriverLog, esme: int = 1000) -> None:
        self.log = log
        self._esme = esme
        self._lock = threading.Lock()

    def new(self, count: int) -> list[str]:
        """Keys of the next `count` messages."""
        with self._lock:
            first = len(self.log.requests)
            return [self._add(number) for number in range(first, first + count)]

    def _add(self, number: int) -> str:
        text = f"message {number}" + (f" {LONG}" if number % 10 in (3, 7) else "")
        return self.log.add(f"m-{number}", text, f"99890{number:07}").transaction_id

    def request(self, key: str) -> Any:
        """Its SmsRequest, the same each time."""
        request = self.log.requests[key]
        strategy = "cp1" if int(key.removeprefix("m-")) % 10 == 5 else ""
        return sms(
            esme=self._esme, transaction_id=key, message=request.text, daddr=request.daddr, strategy=strategy
        )


def paced(keys: Iterable[str], rate_per_s: float, stop: threading.Event) -> Iterator[str]:
    """Each key at its moment; ends early when `stop` is set."""
    began = time.monotonic()
    for number, key in enumerate(keys):
        left_s = began + number / rate_per_s - time.monotonic()
        if stop.wait(left_s) if left_s > 0 else stop.is_set():
            return
        yield key


class Streams:
    """`with`: streams to one daemon, each on its own connection, that send the keys at a rate together."""

    def __init__(
        self, target: str, messages: Messages, keys: list[str], *, rate_per_s: float, count: int = 4
    ) -> None:
        self._messages = messages
        self._keys = keys
        self._stop = threading.Event()
        self._noting = threading.Lock()
        self._over = False
        self._clients = [Client(target) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=(client, keys[index::count], rate_per_s / count))
            for index, client in enumerate(self._clients)
        ]
        self.broke: list[grpc.RpcError] = []

    def __enter__(self) -> Streams:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join()
        for client in self._clients:
            client.channel.close()
        with self._noting:  # grpcio may be taking a last message from a stream that has ended
            self._over = True
            self._messages.log.break_open(self._keys)

    def join(self) -> None:
        """Wait until every stream has ended."""
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a stream that does not end"

    def _run(self, client: Client, keys: list[str], rate_per_s: float) -> None:
        log = self._messages.log

        def requests() -> Iterator[Any]:
            for key in paced(keys, rate_per_s, self._stop):
                with self._noting:
                    if self._over:
                        return
                    log.asked(key)
                yield self._messages.request(key)

        try:
            for answer in client.stream(requests(), metadata=BY_COMPLETION, timeout=120):
                log.answered(answer)
        except grpc.RpcError as error:
            self.broke.append(error)
            self._stop.set()


class UnaryCallers:
    """`with`: some callers, each on its own connection, that send the keys one call at a time.

    `leave_share` of the calls are cancelled at a random moment, as by a caller that gives up.
    """

    def __init__(
        self, target: str, messages: Messages, keys: list[str], *, count: int, leave_share: float = 0.0
    ) -> None:
        self._messages = messages
        self._leave_share = leave_share
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._working = count
        self._clients = [Client(target) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=(client, keys[index::count], random.Random(index)))
            for index, client in enumerate(self._clients)
        ]

    def __enter__(self) -> UnaryCallers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a call that does not end"
        for client in self._clients:
            client.channel.close()

    @property
    def busy(self) -> bool:
        return not self._done.is_set()

    def wait(self, seconds: float) -> None:
        """So long, or until the last has ended."""
        self._done.wait(seconds)

    def _run(self, client: Client, keys: list[str], chance: random.Random) -> None:
        for key in keys:
            self._messages.log.asked(key)
            self._call(client, key, chance)
        with self._lock:
            self._working -= 1
            if not self._working:
                self._done.set()

    def _call(self, client: Client, key: str, chance: random.Random) -> None:
        log = self._messages.log
        call = call_soon(client, self._messages.request(key))
        try:
            if chance.random() < self._leave_share:
                call.result(timeout=chance.uniform(0, 0.05))
            log.answered(call.result())
        except grpc.FutureTimeoutError:
            call.cancel()
            log.broke(key)
        except grpc.RpcError as error:
            word = _WORDS.get(error.code())
            if word is not None and said_by_the_daemon(error):
                log.refused(key, word)
            else:
                log.broke(key)


def call_soon(client: Client, request: Any) -> Any:
    """A unary call that is not waited for. One on a connection that is being made anew waits for it."""
    call = client.channel.unary_unary(
        "/sms.v1.SmsService/SendMessage",
        request_serializer=M["SmsRequest"].SerializeToString,
        response_deserializer=M["SmsResponse"].FromString,
    )
    return call.future(request, metadata=client.metadata, timeout=30, wait_for_ready=True)


def said_by_the_daemon(error: grpc.RpcError) -> bool:
    """Whether a status came from the daemon and tells an end, and not from grpcio when a connection broke."""
    words = error.details() or ""
    return "may have been sent" not in words and any(word in words for word in _OF_THE_DAEMON)


def ask_until_each_has_an_end(target: str, messages: Messages) -> None:
    """What was never answered is sent again, over connections that hold."""
    open_ones = messages.log.without_end()
    with Streams(target, messages, open_ones, rate_per_s=5000):
        pass
    assert not messages.log.without_end()

"""HL, the held load of the reliability matrix: so many messages a second, whatever becomes of them.

Open loop: each message has its moment, and is sent then though earlier ones are not answered yet. A fifth
goes as unary calls, the rest on streams that answer by completion, each on a connection of its own. 70 % are
one GSM7 part, 20 % three UCS2 parts, 10 % ask the contact policy (cp1); each has its own text and number.
Used by the rows that hold load; `HeldLoad.trips` says when each message went and when its answer came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from rows_kit import BY_COMPLETION, Campaign

from tests.flow.kit import Client, Config, M, sms

STREAMS = 4
_STATUS_OF_CODE = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: "rate_limited",
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "expired",
}
"""The status word of a unary call that ended so (spec §2.1)."""
_THREE_UCS2_PARTS = 150
LAST_ANSWER_S = 60.0


def recipient(number: int) -> str:
    """The handset of a message, by its number."""
    return f"99890{number:07}"


def said_of(key: str, call: Any) -> Any:
    """The answer of a unary call that is done; of a refused one, what a stream would have been told."""
    error = call.exception()
    if error is None:
        return call.result()
    status = _STATUS_OF_CODE.get(error.code(), str(error))
    if status == "expired" and "before the submission" not in (error.details() or ""):
        status = "unknown"  # grpcio's own clock ran out: what became of the message it does not know
    retry_after_ms = dict(error.trailing_metadata() or ()).get("retry-after-ms", "0")
    return M["SmsResponse"](transaction_id=key, status=status, retry_after_ms=int(retry_after_ms))


def call_soon(client: Client, request: Any, *, timeout_s: float = 30) -> Any:
    """A unary call that is not waited for."""
    call = client.channel.unary_unary(
        "/sms.v1.SmsService/SendMessage",
        request_serializer=M["SmsRequest"].SerializeToString,
        response_deserializer=M["SmsResponse"].FromString,
    )
    return call.future(request, metadata=client.metadata, timeout=timeout_s)


@dataclass(slots=True)
class Trip:
    """One message, from the moment it was sent to its answer. Times are of `time.monotonic`."""

    unary: bool
    sent_at: float
    ended_at: float = 0.0
    answer: Any = None

    @property
    def waited_s(self) -> float:
        return self.ended_at - self.sent_at


@dataclass
class HeldLoad:
    """`with`: the load begins, and leaving waits for the last answer. `stop` ends it early."""

    target: str
    rate_per_s: float
    duration_s: float
    name: str = "held"
    esme: int = 1000
    marks: Callable[[int], str] = lambda number: ""
    """A word to begin the text of a message with, by its number: for the rules of a simulator."""
    wait_s: float = LAST_ANSWER_S
    """How long after the last message an answer may still come."""
    text: Callable[[int], str] | None = None
    """Texts of another kind than HL's, by number; each must be another."""
    bearer: str | None = None
    trips: dict[str, Trip] = field(default_factory=dict)
    campaign: Campaign = field(default_factory=lambda: Campaign({}))
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _clients: list[Client] = field(default_factory=list)
    _faults: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> HeldLoad:
        began = time.monotonic()
        count = int(self.rate_per_s * self.duration_s)
        lanes: list[list[int]] = [[] for _ in range(STREAMS + 1)]
        for number in range(count):
            lanes[0 if number % 5 == 0 else 1 + number % STREAMS].append(number)
        for lane, numbers in enumerate(lanes):
            client = Client(self.target, bearer=self.bearer)
            self._clients.append(client)
            run = self._stream if lane else self._unary
            self._threads.append(
                threading.Thread(target=self._watched, args=(run, client, numbers, began), daemon=True)
            )
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._stop.set()
        for thread in self._threads:
            thread.join(self.duration_s + self.wait_s)
        for client in self._clients:
            client.channel.close()
        if kind is None:
            assert not self._faults, self._faults
            assert not any(thread.is_alive() for thread in self._threads), "answers are missing"

    def stop(self) -> None:
        """Send nothing more."""
        self._stop.set()

    def waits(self, wanted: Callable[[Trip], bool] = lambda trip: True) -> list[float]:
        """Seconds from sending to the answer, shortest first."""
        return sorted(trip.waited_s for trip in self.trips.values() if wanted(trip))

    # -- what the threads do --------------------------------------------------------------------------------

    def _watched(self, run: Callable[..., None], *arguments: Any) -> None:
        try:
            run(*arguments)
        except BaseException as fault:  # told to the test by __exit__
            self._faults.append(fault)

    def _due(self, numbers: list[int], began: float, *, unary: bool) -> Iterator[tuple[str, Any]]:
        """(transaction_id, request) of each message when its moment is there."""
        for number in numbers:
            left_s = began + number / self.rate_per_s - time.monotonic()
            if self._stop.wait(left_s) if left_s > 0 else self._stop.is_set():
                return
            key, request = self._message(number)
            self.campaign.texts[key], self.campaign.numbers[key] = request.message, request.daddr
            self.trips[key] = Trip(unary, time.monotonic())
            yield key, request

    def _message(self, number: int) -> tuple[str, Any]:
        key, text = f"{self.name}-{number}", f"{self.name} message {number}"
        kind = number // 5 % 10  # number % 5 chose the lane
        if kind in (3, 7):
            text = f"{text} {'ж' * _THREE_UCS2_PARTS}"
        if self.text is not None:
            text = self.text(number)
        word = self.marks(number)
        strategy = "cp1" if kind == 5 else ""
        return key, sms(
            esme=self.esme, transaction_id=key, message=f"{word} {text}".lstrip(), daddr=recipient(number),
            strategy=strategy,
        )  # fmt: skip

    def _ended(self, answer: Any) -> None:
        trip = self.trips[answer.transaction_id]
        trip.ended_at, trip.answer = time.monotonic(), answer
        self.campaign.note(answer)

    def _stream(self, client: Client, numbers: list[int], began: float) -> None:
        requests = (request for _, request in self._due(numbers, began, unary=False))
        timeout_s = self.duration_s + self.wait_s
        for answer in client.stream(requests, metadata=BY_COMPLETION, timeout=timeout_s):
            self._ended(answer)

    def _unary(self, client: Client, numbers: list[int], began: float) -> None:
        calls = []
        for key, request in self._due(numbers, began, unary=True):
            call = call_soon(client, request)
            call.add_done_callback(lambda done, key=key: self._ended(said_of(key, done)))
            calls.append(call)
        for call in calls:
            call.exception()
        deadline = time.monotonic() + self.wait_s  # the callbacks run in a thread of grpcio's own
        while any(trip.unary and trip.answer is None for trip in list(self.trips.values())):
            assert time.monotonic() < deadline, "a unary call without an end"
            time.sleep(0.01)


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the sorted `values` do not exceed."""
    return values[min(len(values) - 1, int(len(values) * share))]


def a_pool(folder: Path, ports: Iterable[int], tables: dict[str, Any] | None = None, **link: Any) -> Path:
    """A configuration: a link to each of the ports from 100 on, all of them in pool 1000."""
    shared = {"window": 50, "rate_per_s": 0, "reconnect_max_s": 15, **link}
    links = {
        f"links.{number}": {"host": "127.0.0.1", "port": port, "system_id": "row", "password": "x", **shared}
        for number, port in enumerate(ports, 100)
    }
    members = [{"link": int(name.removeprefix("links."))} for name in links]
    found: dict[str, dict[str, Any]] = {**links, "pools.1000": {"members": members}}
    for name, table in {"http": {"listen": f"unix:{folder}/http.sock"}, **(tables or {})}.items():
        found[name] = {**found.get(name, {}), **table}
    return Config(folder, 1, found).write()

"""Row 31 of the reliability matrix: the contact policy over every engine, broken and whole."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from policy_kit import TABLES, Engine, HttpEngine, engine_of

from tests.flow.kit import Client, Config, Daemon, Smsc, running, sms

ENGINES = ("embedded", "redis", "http")
REFUSED = "99899"


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_of(request.param, tmp_path) as engine:
        yield engine


@pytest.fixture
def smsc(tmp_path: Path) -> Iterator[Smsc]:
    rules = [{"do": "error", "status": "ESME_RINVDSTADR", "destination_prefix": REFUSED}]
    with running(Smsc(tmp_path / "smsc", {"rules": rules})) as smsc:
        yield smsc


def a_daemon(folder: Path, smsc: Smsc, engine: Engine) -> Daemon:
    tables = {**TABLES, "policy": engine.policy, "links.100": {"window": 500}}
    daemon = Daemon(Config(folder, smsc.port, tables).write())
    daemon.wait_bound()
    return daemon


def timed_end(client: Client, **fields: Any) -> tuple[str, float]:
    """How one unary call ended, and how long it took."""
    began = time.monotonic()
    try:
        status = client.send(sms(**fields)).status
    except grpc.RpcError as error:
        status = error.code().name.lower()
    return status, time.monotonic() - began


@pytest.mark.long
def test_row_31_a_policy_that_cannot_answer_refuses_or_allows_as_set_in_time_and_comes_back(
    tmp_path: Path, smsc: Smsc, engine: Engine
) -> None:
    with running(a_daemon(tmp_path, smsc, engine)) as daemon, Client(daemon.target) as client:
        for number, fault in enumerate(engine.faults):
            assert timed_end(client, strategy="cp1", daddr=f"99890{number:03}0000")[0] == "submitted"
            engine.break_it(fault)
            said: dict[str, list[tuple[str, float]]] = {"cp1": [], "soft": []}
            for n in range(engine.tries):
                for strategy, ends in said.items():
                    ends.append(timed_end(client, strategy=strategy, daddr=f"99891{number:03}{n:04}"))
            assert Counter(end for end, _ in said["cp1"]) == {"unavailable": engine.tries}, fault
            assert Counter(end for end, _ in said["soft"]) == {"submitted": engine.tries}, fault
            assert max(spent for ends in said.values() for _, spent in ends) < 5 * engine.spent_s, fault
            streamed = [sms(strategy="soft", daddr=f"99892{number:03}{n:04}") for n in range(200)]
            assert Counter(answer.status for answer in client.stream(streamed)) == {"submitted": 200}
            engine.heal(fault)
            comes_back(client, f"99893{number:03}")
            # What was refused was not counted, whatever the engine had heard of it.
            again = f"99891{number:03}0000"
            assert within(
                5, lambda again=again: timed_end(client, strategy="cp1", daddr=again)[0] == "submitted"
            )


def comes_back(client: Client, prefix: str) -> None:
    numbers = iter(range(10_000))
    assert within(
        10, lambda: timed_end(client, strategy="cp1", daddr=f"{prefix}{next(numbers):04}")[0] == "submitted"
    )


def within(timeout_s: float, holds: Any) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.05)
    return True


@pytest.mark.long
def test_row_31_of_a_hundred_equal_messages_at_once_exactly_one_passes(
    tmp_path: Path, smsc: Smsc, engine: Engine
) -> None:
    with running(a_daemon(tmp_path, smsc, engine)) as daemon, Client(daemon.target) as client:
        ends = Counter(answer.status for answer in client.stream([sms(strategy="cp2")] * 100))
        assert ends == {"submitted": 1, "duplicate": 99}
    assert len(smsc.texts()) == 1


@pytest.mark.long
def test_row_31_a_message_refused_later_is_not_counted_and_a_repeat_gets_its_recorded_end(
    tmp_path: Path, smsc: Smsc, engine: Engine
) -> None:
    with running(a_daemon(tmp_path, smsc, engine)) as daemon, Client(daemon.target) as client:
        for n in range(3):
            for strategy in ("cp1", "cp2"):
                refused = client.send(
                    sms(strategy=strategy, daddr=REFUSED + "0001", message=f"{strategy} again")
                )
                assert refused.status == "rejected", f"{strategy}, time {n}"
        for strategy in ("cp1", "cp2"):
            request = sms(
                strategy=strategy, daddr="998901110001", transaction_id=f"t-{strategy}", message=strategy
            )
            first, repeat = client.send(request), client.send(request)
            assert (first.status, repeat.status, repeat.repeated) == ("submitted", "submitted", True)
        assert client.send(sms(strategy="cp1", daddr="998901110001", message="other")).status == "daily_cp"


@pytest.mark.long
def test_row_31_a_shadow_strategy_refuses_nobody_and_tells_what_it_would_have_refused(
    tmp_path: Path, smsc: Smsc, engine: Engine
) -> None:
    with running(a_daemon(tmp_path, smsc, engine)) as daemon, Client(daemon.target) as client:
        ends = Counter(client.send(sms(strategy="trial", message=f"m{n}")).status for n in range(5))
        assert ends == {"submitted": 5}
        daemon.wait_count('"policy_shadow_verdict"', 4)
        line = daemon.wait_line('"policy_shadow_verdict"')
        assert '"verdict": "daily_cp"' in line
        assert "998901234567" not in line


@pytest.mark.long
def test_row_31_two_instances_over_one_redis_are_one_policy(tmp_path: Path, smsc: Smsc) -> None:
    with (
        engine_of("redis", tmp_path) as engine,
        running(a_daemon(tmp_path / "one", smsc, engine)) as first,
        running(a_daemon(tmp_path / "two", smsc, engine)) as second,
        Client(first.target) as one,
        Client(second.target) as two,
    ):
        equal = [client.stream([sms(strategy="cp2", message="equal")] * 50) for client in (one, two)]
        ends = Counter(answer.status for stream in equal for answer in stream)
        assert ends == {"submitted": 1, "duplicate": 99}
        numbers = [f"9989022{n:05}" for n in range(100)]
        capped = [
            client.stream([sms(strategy="cp1", daddr=number, message=f"{at}") for number in numbers])
            for at, client in enumerate((one, two))
        ]
        ends = Counter(answer.status for stream in capped for answer in stream)
        assert ends == {"submitted": 100, "daily_cp": 100}, "each number once, over both"


@pytest.mark.long
def test_row_31_a_policy_service_that_answers_keeps_its_connections_and_its_bound(
    tmp_path: Path, smsc: Smsc
) -> None:
    with engine_of("http", tmp_path) as engine:
        assert isinstance(engine, HttpEngine)
        engine.policy["concurrency"] = 8
        with running(a_daemon(tmp_path, smsc, engine)) as daemon, Client(daemon.target) as client:
            requests = [sms(strategy="cp1", daddr=f"9989033{n:05}") for n in range(500)]
            assert Counter(answer.status for answer in client.stream(requests)) == {"submitted": 500}
        assert engine.service.busiest <= 8
        assert len(engine.service.connections) <= 8


@pytest.mark.long
@pytest.mark.parametrize("name", ["embedded", "redis"])
def test_a_kill_between_reservation_and_intent_loses_no_message_to_its_own_reservation(
    tmp_path: Path, smsc: Smsc, name: str
) -> None:
    campaign = [
        sms(strategy="cp1", daddr=f"9989044{n:05}", transaction_id=f"k-{n}", message=f"k {n}")
        for n in range(400)
    ]
    with engine_of(name, tmp_path) as engine:
        doomed = a_daemon(tmp_path, smsc, engine)
        with running(doomed), Client(doomed.target) as client, contextlib.suppress(grpc.RpcError):
            for count, _ in enumerate(client.stream(campaign)):
                if count == 100:
                    doomed.stop(signal.SIGKILL)
        with running(a_daemon(tmp_path, smsc, engine)) as daemon, Client(daemon.target) as client:
            ends = Counter(answer.status for answer in client.stream(campaign))
    assert set(ends) <= {"submitted", "unknown"}, "none is refused for the count of its own earlier try"
    assert sum(ends.values()) == 400
    assert len(smsc.texts()) == len(set(smsc.texts()))

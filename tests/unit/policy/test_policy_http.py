"""Engine http against a real HTTP server: right answers, every fault, and what it may cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from policy_bench import CP1, CP2, a_request, an_id
from starlette.responses import PlainTextResponse, Response

from smsproxy.aio.wait import settled
from smsproxy.domain.ids import id_text
from smsproxy.obs.log import get_log
from smsproxy.pipeline.contact import ContactStage
from smsproxy.policy.base import PolicyRequest, PolicyUnavailableError, Verdict
from smsproxy.policy.blacklist import Blacklist
from smsproxy.policy.engine import ContactPolicy
from smsproxy.policy.gate import Gate
from smsproxy.policy.http import HttpState
from smsproxy.policy.strategies import Strategy
from tests.policy_service import FAULTS, PolicyService

OK, REFUSED = Verdict.OK, Verdict.UNAVAILABLE
SOFT = Strategy("soft", daily_max=1, on_error="allow")
RULES = (CP1, CP2, SOFT)
LISTED = "998900000000"


@dataclass
class Bench:
    service: PolicyService
    timeout_s: float = 0.2
    changes: list[tuple[bool, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = HttpState(
            self.service.url, self.timeout_s, 64, lambda back, why: self.changes.append((back, why))
        )
        listed = Blacklist([int("1" + LISTED)])
        self.policy = ContactPolicy(RULES, "UTC", self.state, time.time, listed)


@pytest.fixture
def service() -> Iterator[PolicyService]:
    with PolicyService(*RULES) as service:
        yield service


@pytest.fixture
async def bench(service: PolicyService) -> AsyncIterator[Bench]:
    bench = Bench(service)
    yield bench
    await bench.policy.aclose()


@pytest.fixture
async def patient(service: PolicyService) -> AsyncIterator[Bench]:
    """For what is not about time: a busy machine is no fault of the service's."""
    bench = Bench(service, timeout_s=5.0)
    yield bench
    await bench.policy.aclose()


async def answered_again(bench: Bench, request: PolicyRequest) -> Verdict:
    """The first verdict that the service gives, asked for until the gate lets a call through."""
    for _ in range(500):
        (verdict,) = await bench.policy.reserve([request])
        if verdict is not REFUSED:
            break
        await asyncio.sleep(0.01)
    return verdict


async def test_the_service_is_asked_what_the_contract_says(bench: Bench) -> None:
    request = a_request(7, "cp1", saddr="BRAND", app_id=3)
    assert await bench.policy.reserve([request]) == [OK]
    await bench.policy.release([request])
    asked = {
        "message_id": id_text(an_id(7)),
        "strategy": "cp1",
        "daddr": "998901234567",
        "saddr": "BRAND",
        "app_id": 3,
        "task_id": 0,
        "text_sha256": request.text_sha256.hex(),
    }
    assert bench.service.bodies == [{"op": "reserve", **asked}, {"op": "release", **asked}]


async def test_its_verdict_is_the_verdict_and_pass_decides(bench: Bench) -> None:
    assert await bench.policy.reserve([a_request(1)]) == [OK]
    assert await bench.policy.reserve([a_request(2)]) == [Verdict.DAILY_CP]
    assert await bench.policy.reserve([a_request(n, "cp2") for n in range(30)]) != [OK] * 30
    assert bench.policy.verdicts["cp2", Verdict.DUPLICATE] == 29


async def test_a_number_of_our_own_blacklist_costs_no_call(bench: Bench) -> None:
    assert await bench.policy.reserve([a_request(1, daddr=LISTED)]) == [Verdict.BLACKLIST]
    assert bench.service.bodies == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_no_answer_is_decided_by_on_error_within_200_ms_and_given_back(
    bench: Bench, fault: str
) -> None:
    bench.service.fault = fault
    began = time.monotonic()
    batch = [a_request(1), a_request(2, "soft"), a_request(3)]
    assert await bench.policy.reserve(batch) == [REFUSED, OK, REFUSED]
    assert time.monotonic() - began < 5 * 0.2
    assert bench.policy.take_doubtful() == [batch[0], batch[2]], "each may have been counted"
    bench.service.fault = ""
    assert await answered_again(bench, a_request(9, daddr="998900000001")) == OK


@pytest.mark.parametrize("fault", ["garbage", "not an object", "status 500", "slow", "hang up"])
async def test_a_release_without_a_confirmation_is_to_be_asked_again(bench: Bench, fault: str) -> None:
    bench.service.fault = fault
    with pytest.raises(PolicyUnavailableError):
        await bench.policy.release([a_request(1)])
    bench.service.fault = "empty"
    await bench.policy.release([a_request(1)])
    assert bench.policy.released == 1


async def test_a_service_that_is_down_is_not_asked_for_long_and_asked_again_by_itself(bench: Bench) -> None:
    bench.service.stop()
    for n in range(3):
        assert await bench.policy.reserve([a_request(10 * n + k) for k in range(8)]) == [REFUSED] * 8
    assert bench.policy.counters["calls"] < 24
    assert bench.policy.counters["calls"] + bench.policy.counters["calls_spared"] == 24
    assert bench.changes == [(False, "cannot connect: connection refused")]
    bench.service.start()
    assert await answered_again(bench, a_request(100)) == OK
    assert bench.changes[1:] == [(True, "")]


async def test_a_slow_service_costs_one_time_out_and_then_nothing(bench: Bench) -> None:
    bench.service.fault = "slow"
    assert await bench.policy.reserve([a_request(n) for n in range(32)]) == [REFUSED] * 32
    calls = bench.policy.counters["calls"]
    assert await bench.policy.reserve([a_request(n) for n in range(32)]) == [REFUSED] * 32
    assert bench.policy.counters["calls"] == calls
    assert bench.changes == [(False, "no answer in time")]


async def test_calls_at_once_are_bounded_and_connections_are_kept(service: PolicyService) -> None:
    state = HttpState(service.url, 5.0, 4, lambda back, why: None)
    policy = ContactPolicy(RULES, "UTC", state, time.time, Blacklist())
    for _ in range(3):
        await asyncio.gather(
            *(policy.reserve([a_request(10 * b + n, "cp2") for n in range(10)]) for b in range(3))
        )
    await policy.aclose()
    assert service.busiest <= 4
    assert len(service.connections) <= 4
    assert policy.max_batch == 1, "a turn asks and gives back beside a screening, and none waits for a place"


async def test_a_connection_that_was_hung_up_meanwhile_costs_no_message(patient: Bench) -> None:
    assert await patient.policy.reserve([a_request(1)]) == [OK]
    patient.service.stop()
    patient.service.start()
    assert await patient.policy.reserve([a_request(2, "cp2")]) == [OK]
    assert patient.policy.counters["calls_failed"] == 0


async def test_a_caller_who_leaves_takes_the_calls_along(bench: Bench) -> None:
    bench.service.fault = "slow"
    asking = asyncio.create_task(bench.policy.reserve([a_request(n) for n in range(8)]))
    assert await settled(lambda: bench.service.calls["reserve"] == 8, timeout_s=5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    bench.service.fault = ""
    assert await bench.policy.reserve([a_request(100)]) == [OK]


def test_a_gate_shuts_after_failures_in_a_row_and_lets_one_through_at_a_time() -> None:
    gate = Gate(failures=3, probe_s=1.0)
    assert not gate.failed(0.0)
    assert not gate.failed(0.0)
    assert not gate.succeeded()
    assert [gate.failed(0.1), gate.failed(0.1), gate.failed(0.1)] == [False, False, True]
    assert [gate.lets_through(1.0), gate.lets_through(1.1), gate.lets_through(1.1)] == [False, True, False]
    assert not gate.failed(1.3)
    assert [gate.lets_through(2.0), gate.lets_through(2.1)] == [False, True]
    assert gate.succeeded()
    assert gate.lets_through(2.1)
    assert repr(gate) == "<Gate open failures_in_a_row=0>"


class _Strict(PolicyService):
    """Will not hear of releasing some."""

    def __init__(self, *strategies: Strategy) -> None:
        super().__init__(*strategies)
        self.unheard_of: set[str] = set()

    async def _judged(self, body: dict[str, Any]) -> Response:
        if body["op"] == "release" and body["message_id"] in self.unheard_of:
            return PlainTextResponse("", 404)
        return await super()._judged(body)


async def test_releases_that_the_service_refuses_for_ever_stand_in_nobodys_way() -> None:
    with _Strict(*RULES) as service:
        bench = Bench(service, timeout_s=5.0)
        stage = ContactStage(
            bench.policy,
            get_log("test"),
            passed=lambda job: None,
            refused=lambda job, answer: None,
            released=lambda job: None,
        )
        refused = [a_request(n, daddr=f"99890000{n:04}") for n in range(1, 7)]
        good = [a_request(n, daddr=f"99890000{n:04}") for n in range(100, 140)]
        service.unheard_of = {id_text(one.message_id) for one in refused}
        assert await bench.policy.reserve(good) == [OK] * 40
        stage.hand_back([*refused, *good])
        assert await settled(lambda: len(stage._late) == 6, timeout_s=10)
        assert bench.changes == [], "the service is well: nothing is spared"
        again = [a_request(n + 1000, daddr=f"99890000{n:04}") for n in range(100, 140)]
        assert await bench.policy.reserve(again) == [OK] * 40
        service.unheard_of.clear()
        assert await settled(lambda: stage.idle, timeout_s=5)
        await bench.policy.aclose()

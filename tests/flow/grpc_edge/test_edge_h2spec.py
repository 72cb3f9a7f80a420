"""h2spec's 147 cases for servers, in raw frames: met, or a miss that has its reason here."""

from __future__ import annotations

import pytest
from grpc_edge_kit import FakeGateway, answer_to, dial
from h2spec_cases import CASES
from h2spec_kit import ANSWERED, PONG, Case, Peer, Verdict, ping
from h2spec_more_cases import MORE_CASES

from smsproxy.rpc.server import RpcServer

LENGTH = "gRPC messages have their own length: content-length is ignored on purpose"
ALL = [*CASES, *MORE_CASES]
MISSES: dict[str, tuple[str, Verdict]] = {
    "http2/5.3.1 PRIORITY on itself": ("RFC 9113 took priorities out: ignored, but counted", PONG),
    "http2/8.1.2.6 content-length is not the length": (LENGTH, ANSWERED),
    "http2/8.1.2.6 content-length is not the sum": (LENGTH, ANSWERED),
}
"""What is otherwise than h2spec asks: why, and what is seen instead."""


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
async def test_a_case_of_h2spec_is_met_or_a_known_miss(
    server: RpcServer, gateway: FakeGateway, case: Case
) -> None:
    gateway.respond = lambda message: None if message.task_id else answer_to(message)
    peer = Peer(*await dial(server.port))
    peer.write(case.preface)
    for step in case.steps:
        if isinstance(step, bytes):
            peer.write(step)
        else:
            await peer.until(lambda step=step: step.holds(peer))
    if case.name in MISSES:
        _, instead = MISSES[case.name]
        peer.write(ping())
        await peer.until(lambda: instead.holds(peer) and PONG.holds(peer))
        assert not case.verdict.holds(peer), "met by now: take it off the list"
        return
    await peer.until(lambda: case.verdict.holds(peer) or peer.closed)
    assert case.verdict.holds(peer), f"not {case.verdict.text}: GOAWAY {peer.goaway}, {peer.seen}"
    assert server.counters.internal_errors_total == 0


def test_the_list_is_whole_and_nearly_all_of_it_is_met() -> None:
    names = {case.name for case in ALL}
    assert len(ALL) == len(names) == 147
    assert names >= set(MISSES)
    assert len(ALL) - len(MISSES) >= 140

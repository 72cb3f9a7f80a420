"""Engine redis on a cluster: one batch is a call for each tag, and no count is missed or made twice."""

from __future__ import annotations

import time

import pytest

from smsproxy.domain.ids import time_ordered_id
from smsproxy.obs.log import get_log
from smsproxy.policy.base import PolicyRequest, Verdict
from smsproxy.policy.blacklist import Blacklist
from smsproxy.policy.engine import ContactPolicy
from smsproxy.policy.shared import SharedState
from smsproxy.policy.shared_added import SharedAdded
from smsproxy.policy.strategies import Strategy
from smsproxy.remote.keys import TAGS
from smsproxy.remote.remote import Remote
from smsproxy.remote.url import parse_url
from tests.flow.redis.redis_flow_kit import a_cluster

RULE = Strategy("both", daily_max=1, duplicate_window_s=60, blacklist=True)


def a_request(n: int, number: int) -> PolicyRequest:
    message_id = time_ordered_id(n, n.to_bytes(10))
    return PolicyRequest(message_id, "both", 1, f"9989{number:08}", "BRAND", n.to_bytes(32))


@pytest.mark.long
async def test_a_batch_over_a_cluster_is_counted_once_a_recipient_and_given_back() -> None:
    with a_cluster() as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        remote = Remote(parse_url(f"redis+cluster://{hosts}"), get_log("test"))
        try:
            assert await remote.open()
            state = SharedState(remote, timeout_s=5.0)
            policy = ContactPolicy([RULE], "UTC", state, time.time, Blacklist())
            first = [a_request(n, n) for n in range(200)]
            assert await policy.reserve(first) == [Verdict.OK] * 200
            assert remote.counters["calls"] <= TAGS
            assert (
                await policy.reserve([a_request(1000 + n, n) for n in range(200)]) == [Verdict.DAILY_CP] * 200
            )
            await policy.release(first[:100])
            assert policy.released == 100
            left = await policy.check([a_request(2000 + n, n) for n in range(200)])
            assert left == [Verdict.OK] * 100 + [Verdict.DAILY_CP] * 100
            assert remote.counters["failures"] == 0
            numbers = SharedAdded(remote)
            assert await numbers.add("998900000001")
            assert await numbers.changed() == {"998900000001"}
        finally:
            await remote.aclose()

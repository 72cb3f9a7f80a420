"""Names and numbers that a scraper sees, from the real parts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from smsproxy.auth.claims import Reason
from smsproxy.auth.doorkeeper import Doorkeeper
from smsproxy.domain.errors import UnauthenticatedError
from smsproxy.domain.outcome import Status
from smsproxy.limits.local import LocalLimits
from smsproxy.links.counters import LinkCounters
from smsproxy.obs.exposition import Exposition
from smsproxy.obs.log import get_log
from smsproxy.obs.metrics import (
    Metric,
    auth_metrics,
    limit_metrics,
    link_metrics,
    message_metrics,
    policy_metrics,
    remote_metrics,
    rpc_metrics,
    source_metrics,
    store_metrics,
)
from smsproxy.policy.base import Verdict
from smsproxy.policy.blacklist import Blacklist
from smsproxy.policy.embedded import EmbeddedState
from smsproxy.policy.engine import ContactPolicy
from smsproxy.policy.memory import MemoryKeyValue
from smsproxy.policy.strategies import Strategy
from smsproxy.rpc.options import RpcCounters
from smsproxy.stores.base import new_counters

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(*metrics: Metric) -> Samples:
    """What a Prometheus server makes of the text."""
    text = Exposition(lambda: metrics).text().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass
class FakeLink:
    link_id: int
    bound: bool = True
    in_flight: int = 3
    waiting: int = 2
    rate_per_s: int = 47
    shrinks: int = 1
    counters: LinkCounters = field(default_factory=LinkCounters)


def test_messages_are_counted_by_status() -> None:
    pipeline = SimpleNamespace(
        submitted=9,
        in_flight=1,
        ended_by_status={status.value: number for number, status in enumerate(Status)},
        counters={"results_delayed": 4, "receipts_sent_back": 5},
    )
    samples = scraped(*message_metrics(pipeline))
    for number, status in enumerate(Status):
        assert samples["smsproxy_messages_total", (("status", status.value),)] == number
    assert samples["smsproxy_requests_total", ()] == 9
    assert samples["smsproxy_messages_in_flight", ()] == 1
    assert samples["smsproxy_results_delayed_total", ()] == 4
    assert samples["smsproxy_receipts_sent_back_total", ()] == 5


def test_every_link_has_its_own_line() -> None:
    up, down = FakeLink(100), FakeLink(101, bound=False)
    up.counters.in_doubt = 7
    samples = scraped(*link_metrics([up, down]))
    assert samples["smsproxy_link_bound", (("link", "100"),)] == 1
    assert samples["smsproxy_link_bound", (("link", "101"),)] == 0
    assert samples["smsproxy_submits_in_doubt_total", (("link", "100"),)] == 7
    assert samples["smsproxy_link_window_in_use", (("link", "100"),)] == 3
    assert samples["smsproxy_link_waiting", (("link", "100"),)] == 2
    assert samples["smsproxy_link_rate_per_s", (("link", "100"),)] == 47
    assert samples["smsproxy_link_rate_shrinks_total", (("link", "100"),)] == 1


def test_every_counter_of_a_link_and_of_a_store_has_a_name_and_a_text_of_its_own() -> None:
    found = [*link_metrics([FakeLink(100)]), *store_metrics(new_counters())]
    assert len(found) == 5 + len(LinkCounters().items()) + len(new_counters())
    assert [metric.name for metric in found if "Counter " in metric.help] == []
    assert len({metric.name for metric in found}) == len(found)


def test_a_counter_that_the_tables_do_not_know_yet_is_shown_all_the_same() -> None:
    link = SimpleNamespace(
        link_id=1, bound=True, in_flight=0, waiting=0, rate_per_s=0, shrinks=0, counters={"new_thing": 4}
    )
    samples = scraped(*link_metrics([link]), *store_metrics({"other_thing": 5}))
    assert samples["smsproxy_link_new_thing_total", (("link", "1"),)] == 4
    assert samples["smsproxy_other_thing_total", ()] == 5


def test_an_instance_without_links_is_scraped_without_lines_for_them() -> None:
    assert not [name for name, _ in scraped(*link_metrics([])) if "link" in name]


def test_stored_receipts_are_named_after_their_promise() -> None:
    counters = new_counters()
    counters["receipts_stored"] = 11
    assert scraped(*store_metrics(counters))["smsproxy_receipts_stored_total", ()] == 11


def test_policy_verdicts_are_counted_by_strategy_and_verdict() -> None:
    state = EmbeddedState(MemoryKeyValue(lambda: 0.0))
    policy = ContactPolicy([Strategy("cp1", daily_max=1)], "UTC", state, lambda: 0.0, Blacklist())
    policy.verdicts["cp1", Verdict.DAILY_CP] = 2
    policy.shadow_verdicts["cp1", Verdict.BLACKLIST] = 3
    policy.checked["cp1", Verdict.OK] = 6
    policy.allowed_on_error, policy.released = 4, 5
    samples = scraped(*policy_metrics(policy))
    daily = (("strategy", "cp1"), ("verdict", "daily_cp"))
    assert samples["smsproxy_policy_verdicts_total", daily] == 2
    shadow = (("strategy", "cp1"), ("verdict", "blacklist"))
    assert samples["smsproxy_policy_shadow_verdicts_total", shadow] == 3
    passed = (("strategy", "cp1"), ("verdict", "ok"))
    assert samples["smsproxy_policy_checked_total", passed] == 6
    assert samples["smsproxy_policy_allowed_on_error_total", ()] == 4
    assert samples["smsproxy_policy_released_total", ()] == 5


def test_limits_tell_whose_limit_refused() -> None:
    limits = LocalLimits(0, {1: (1, 1)})
    for _ in range(3):
        limits.admit(1, 1)
    samples = scraped(*limit_metrics(limits))
    assert samples["smsproxy_limit_granted_total", ()] == 1
    assert samples["smsproxy_limit_refused_total", (("limit", "app"),)] == 2
    assert samples["smsproxy_limit_refused_total", (("limit", "process"),)] == 0


def test_redis_and_what_it_is_asked_for_are_told() -> None:
    counters = ("calls", "failures", "refused", "cancelled", "script_loads", "breaker_opened")
    remote = SimpleNamespace(available=False, connections=2, counters=dict.fromkeys(counters, 3))
    samples = scraped(*remote_metrics(remote))
    assert samples["smsproxy_redis_up", ()] == 0
    assert samples["smsproxy_redis_connections", ()] == 2
    assert samples["smsproxy_redis_breaker_opened_total", ()] == 3
    counters = ("lease_calls", "leases", "lease_tokens", "fallbacks")
    source = SimpleNamespace(away=True, counters=dict.fromkeys(counters, 4))
    samples = scraped(*source_metrics(source))
    assert samples["smsproxy_limit_fallback", ()] == 1
    assert samples["smsproxy_limit_lease_calls_total", ()] == 4


async def test_refused_tokens_are_counted_by_reason() -> None:
    doorkeeper = Doorkeeper({}, get_log("test"))
    doorkeeper.refused[Reason.EXPIRED] = 2
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            await doorkeeper.authenticate(None, "1", "127.0.0.1")
    samples = scraped(*auth_metrics(doorkeeper))
    assert samples["smsproxy_tokens_refused_total", (("reason", "expired"),)] == 2
    assert samples["smsproxy_tokens_refused_total", (("reason", "no_bearer"),)] == 2
    assert samples["smsproxy_auth_log_lines_dropped_total", ()] == 1
    for name in ("verified", "remembered", "refused_by_memory", "delayed"):
        assert samples[f"smsproxy_tokens_{name}_total", ()] == 0


def test_the_edge_shows_every_counter_and_its_calls_by_status() -> None:
    counters = RpcCounters(connections=2, calls_total=5, streams_by_status={"OK": 4, "UNAVAILABLE": 1})
    samples = scraped(*rpc_metrics(counters.as_dict()))
    assert samples["smsproxy_grpc_connections", ()] == 2
    assert samples["smsproxy_grpc_calls_total", ()] == 5
    assert samples["smsproxy_grpc_calls_ended_total", (("status", "UNAVAILABLE"),)] == 1


def test_build_and_process_stand_beside_ours() -> None:
    names = {name for name, _ in scraped()}
    assert {
        "smsproxy_build_info",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    } <= names


def test_two_expositions_in_one_process_do_not_meet() -> None:
    one = Exposition(lambda: [Metric("smsproxy_x", "x", "gauge", [((), 1)])])
    other = Exposition(list)
    assert b"smsproxy_x 1.0" in one.text()
    assert b"smsproxy_x" not in other.text()


@pytest.mark.parametrize("text", ['"', "\\", "\n", "é", ""])
def test_a_label_may_hold_any_text(text: str) -> None:
    samples = scraped(Metric("smsproxy_x", "x", "gauge", [((("name", text),), 2)]))
    assert samples["smsproxy_x", (("name", text),)] == 2


def test_names_follow_the_rules_of_prometheus() -> None:
    for metric in (*link_metrics([FakeLink(1)]), *store_metrics(new_counters())):
        assert re.fullmatch(r"smsproxy_[a-z0-9_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.help.endswith(".")

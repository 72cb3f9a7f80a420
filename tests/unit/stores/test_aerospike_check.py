"""What an operator reads when a namespace or a cluster will not do; and how fast callers hear of a loss."""

from __future__ import annotations

import asyncio
import time

import pytest
from contract.store.aerospike_fake import GONE, FakeServer, Fault
from contract.store.store_kit import NOW, a_receipt, a_result, an_intent, created
from unit.stores.aerospike_bench import HOSTS, Script, a_store, opened

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores.aerospike_changes import withdrawal
from smsproxy.stores.aerospike_check import Place, client_config
from smsproxy.stores.aerospike_cluster import Cluster
from smsproxy.stores.base import Health

WHERE = "aerospike as1:3000,as2:3100: "


async def trouble(server: FakeServer) -> str:
    store = a_store(server)
    with pytest.raises(StoreUnavailableError) as caught:
        await store.open()
    await store.close()
    return str(caught.value)


async def test_each_trouble_at_the_start_is_one_line() -> None:
    told = {
        "no node answers (code -10)": FakeServer(away=True),
        "namespace proxy refuses records with a time to live: set its nsup-period (code 22)": FakeServer(
            takes_ttl=False
        ),
        "there is no namespace proxy": FakeServer(fault=Script(Fault(20), kind="put")),
        "namespace proxy: the user has no right to do this (code 81)": FakeServer(
            fault=Script(Fault(81), kind="put")
        ),
        "namespace proxy: timed out (code 9)": FakeServer(fault=Script(Fault(9), kind="put")),
        "index sms_messages_open of namespace proxy: the user has no right to do this (code 81)": FakeServer(
            fault=Script(Fault(81), kind="index")
        ),
    }
    assert [await trouble(server) for server in told.values()] == [WHERE + line for line in told]


async def test_an_unreadable_index_at_the_start_is_said_too() -> None:
    server = FakeServer()
    async with opened(server):
        pass
    server.fault = Script(Fault(203), kind="query")
    assert await trouble(server) == (
        WHERE + "index sms_messages_open of namespace proxy: the server refused (code 203)"
    )


async def test_another_instance_may_make_the_indexes_at_the_same_time() -> None:
    server = FakeServer()

    def made_meanwhile(kind: str, _record: object) -> Fault | None:
        if kind != "index":
            return None
        server.indexes |= {
            ("sms_messages", "open"),
            ("sms_messages", "expires"),
            ("sms_receipt_keys", "parked"),
        }
        return Fault(200)

    server.fault = made_meanwhile
    async with opened(server) as store:
        assert await store.create([an_intent()]) == [True]


def test_the_client_is_told_hosts_user_and_tls_names() -> None:
    assert client_config(Place(HOSTS, "proxy"))["hosts"] == [("as1", 3000), ("as2", 3100)]
    config = client_config(Place(HOSTS, "proxy", "me", "secret", "cluster-name"))
    assert config["hosts"] == [("as1", 3000, "cluster-name"), ("as2", 3100, "cluster-name")]
    assert (config["user"], config["password"], config["tls"]["enable"]) == ("me", "secret", True)
    assert "secret" not in repr(Place(HOSTS, "proxy", "me", "secret"))


# --- loss -------------------------------------------------------------------------------------------------


async def test_while_the_cluster_is_away_every_call_is_refused_and_nothing_is_kept() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        server.away = True
        for call in (
            store.create([an_intent(2)]),
            store.settle([a_result(intent)]),
            store.withdraw([intent]),
            store.receive([a_receipt("a")]),
            store.find([intent.message_id]),
            store.sweep(NOW),
        ):
            with pytest.raises(StoreUnavailableError, match="no node answers"):
                await call
        assert store._intents.undoing == 0
        assert isinstance(store, Health)
        assert (store.away, store.outages) == ("no node answers (code -10)", 1)
        assert store.refused > 0
        server.away = False
        await asyncio.sleep(0)
        assert store.cluster is not None
        store.cluster._away_until = 0.0
        assert await store.create([an_intent(2)]) == [True]
        assert (store.away, store.outages) == ("", 1)


def test_a_cluster_that_gave_no_answer_is_not_asked_again_for_half_a_second() -> None:
    server, now = FakeServer(), [100.0]
    cluster = Cluster(server.connect({"hosts": HOSTS}), "proxy", "sms_", lambda: now[0])
    server.fault = Script(GONE)
    change = withdrawal(an_intent(), NOW)
    for _ in range(100):
        with pytest.raises(StoreUnavailableError, match="no node answers"):
            cluster.write([change])
    assert len(server.calls) == 1
    now[0] += 0.6
    assert [one.answer.value for one in cluster.write([change])] == ["missing"]


def test_a_thousand_refusals_take_no_time() -> None:
    server = FakeServer()
    cluster = Cluster(server.connect({"hosts": HOSTS}), "proxy", "sms_")
    server.away = True
    started = time.perf_counter()
    for _ in range(1000):
        with pytest.raises(StoreUnavailableError):
            cluster.read("messages", ["a"])
    assert time.perf_counter() - started < 0.1 * 5


async def test_large_batches_go_in_pieces_of_five_hundred() -> None:
    server = FakeServer()
    async with opened(server) as store:
        server.calls.clear()
        await created(store, *(an_intent(n) for n in range(1, 1201)))
        await store.find([an_intent(n).message_id for n in range(1, 1201)])
    assert server.calls == [(kind, size) for kind in ("write", "read") for size in (500, 500, 200)]

"""policy.v1.ContactPolicyService/Screen through the daemon's real port, as an audience builder meets it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.flow.kit import ROOT, Client, Config, Daemon, Smsc, running, sms, token

METHOD = "/policy.v1.ContactPolicyService/Screen"
FIRST, SECOND, LISTED = "998901110001", "998901110002", "998901119999"


def _messages() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(
        (ROOT / "smsproxy/rpc/gen/descriptors.binpb").read_bytes()
    ).file:
        pool.Add(file)
    names = ("ScreenRequest", "ScreenResponse")
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"policy.v1.{name}"))
        for name in names
    }


MESSAGES = _messages()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("screen")
    (folder / "never.csv").write_text(f"{LISTED}\n")
    with running(Smsc(folder, {})) as smsc:
        tables = {
            "policy.blacklist": {"files": ["never.csv"]},
            "apps.2": {"secret": "another-secret-that-is-long-enough-for-us", "scopes": ["read"]},
        }
        with running(Daemon(Config(folder, smsc.port, tables).write())) as daemon:
            daemon.wait_bound()
            yield daemon


def screen(client: Client, daddrs: Sequence[str], **fields: Any) -> list[str]:
    call = client.channel.unary_unary(
        METHOD, lambda message: message.SerializeToString(), MESSAGES["ScreenResponse"].FromString
    )
    request = MESSAGES["ScreenRequest"](**{"app_id": 1, "strategy": "cp1", "daddrs": daddrs, **fields})
    return list(call(request, metadata=client.metadata, timeout=30).verdicts)


def test_an_audience_is_screened_then_sent_and_counted_once(daemon: Daemon) -> None:
    with Client(daemon.target) as client:
        assert screen(client, [FIRST, "+" + SECOND, LISTED, "nobody"]) == ["ok", "ok", "blacklist", "invalid"]
        assert client.send(sms(daddr=FIRST, strategy="onbuild_cp1")).status == "submitted"
        assert screen(client, [FIRST, SECOND]) == ["daily_cp", "ok"]
        assert client.send(sms(daddr=FIRST, strategy="cp1", message="two")).status == "daily_cp"


def test_what_was_reserved_at_the_build_is_counted_and_goes_out_under_a_strategy_that_does_not_count(
    daemon: Daemon,
) -> None:
    number = "998901110003"
    with Client(daemon.target) as client:
        assert screen(client, [number, number], reserve=True) == ["ok", "daily_cp"]
        assert client.send(sms(daddr=number, strategy="cp1")).status == "daily_cp"
        assert client.send(sms(daddr=number, strategy="blacklist")).status == "submitted"


def test_ten_thousand_numbers_are_one_call_and_one_more_is_too_many(daemon: Daemon) -> None:
    numbers = [f"+99890{n:010}"[:16] for n in range(10_001)]
    with Client(daemon.target) as client:
        assert screen(client, numbers[:10_000], saddr="MYBRAND") == ["ok"] * 10_000
        assert refused(client, numbers) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "daddrs: must be at most 10000 numbers",
        )
        assert refused(client, numbers * 3)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_wrong_request_is_refused_like_any_other(daemon: Daemon) -> None:
    invalid, denied = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED
    with Client(daemon.target) as client:
        assert refused(client, [FIRST], strategy="cp9") == (invalid, "strategy: 'cp9' is not configured")
        assert refused(client, [FIRST], app_id=2) == (denied, "app_id: not the caller's")
    with Client(daemon.target, bearer="nonsense") as nobody:
        assert refused(nobody, [FIRST])[0] is grpc.StatusCode.UNAUTHENTICATED
    secret = "another-secret-that-is-long-enough-for-us"
    with Client(daemon.target, app_id=2, bearer=token(2, secret=secret)) as reader:
        assert refused(reader, [FIRST], app_id=2) == (denied, "the app has no scope send")


def refused(client: Client, daddrs: Sequence[str], **fields: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        screen(client, daddrs, **fields)
    return caught.value.code(), caught.value.details()

"""Every row of the table in spec §2.1, met by grpcio at a real daemon: unary and on a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.flow.ends import LISTED, REFUSED, SECOND_SECRET, SILENT, THIRD_SECRET, every_end
from tests.flow.kit import Client, Daemon, sms, token

Row = tuple[str, dict[str, Any], grpc.StatusCode | None, str]

# status word, fields of the request, gRPC status of the unary call (None: OK, in band), words of the error
ROWS: list[Row] = [
    ("submitted", {}, None, ""),
    ("blacklist", {"strategy": "blacklist", "daddr": LISTED}, None, "blacklist"),
    ("rejected", {"daddr": REFUSED + "0001"}, None, "segment 1: ESME_RINVDSTADR 0x0000000B"),
    ("unknown", {"daddr": SILENT + "0001"}, None, "no answer"),
    ("invalid", {"app_id": 0}, grpc.StatusCode.INVALID_ARGUMENT, "app_id"),
    ("invalid", {"esme": 0}, grpc.StatusCode.INVALID_ARGUMENT, "esme"),
    ("invalid", {"daddr": ""}, grpc.StatusCode.INVALID_ARGUMENT, "daddr"),
    ("invalid", {"daddr": "12"}, grpc.StatusCode.INVALID_ARGUMENT, "daddr"),
    ("invalid", {"daddr": "99890123456789012"}, grpc.StatusCode.INVALID_ARGUMENT, "daddr"),
    ("invalid", {"saddr": ""}, grpc.StatusCode.INVALID_ARGUMENT, "saddr"),
    ("invalid", {"saddr": "TWELVE CHARS"}, grpc.StatusCode.INVALID_ARGUMENT, "saddr"),
    ("invalid", {"message": ""}, grpc.StatusCode.INVALID_ARGUMENT, "message"),
    ("invalid", {"message": "x\0y"}, grpc.StatusCode.INVALID_ARGUMENT, "message"),
    ("invalid", {"message": "a" * 1531}, grpc.StatusCode.INVALID_ARGUMENT, "message"),
    ("invalid", {"ston": 256}, grpc.StatusCode.INVALID_ARGUMENT, "ston"),
    ("invalid", {"dnpi": -1}, grpc.StatusCode.INVALID_ARGUMENT, "dnpi"),
    ("invalid", {"transaction_id": "x" * 65}, grpc.StatusCode.INVALID_ARGUMENT, "transaction_id"),
    ("invalid", {"strategy": "no-such"}, grpc.StatusCode.INVALID_ARGUMENT, "strategy"),
    ("forbidden", {"app_id": 2}, grpc.StatusCode.PERMISSION_DENIED, "app_id"),
    ("no_route", {"esme": 4242}, grpc.StatusCode.NOT_FOUND, "esme"),
    ("unavailable", {"esme": 101}, grpc.StatusCode.UNAVAILABLE, "no bound link"),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with every_end(tmp_path_factory.mktemp("ends")) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client(daemon.target) as client:
        yield client


@pytest.mark.parametrize(("status", "fields", "code", "words"), ROWS)
def test_a_unary_call_ends_as_the_table_says(
    client: Client, status: str, fields: dict[str, Any], code: grpc.StatusCode | None, words: str
) -> None:
    if code is None:
        answer = client.send(sms(**fields))
        assert answer.status == status
        assert answer.success is (status == "submitted")
        assert words in answer.error
        assert bool(answer.message_id) is (status in ("submitted", "rejected", "unknown"))
    else:
        with pytest.raises(grpc.RpcError) as caught:
            client.send(sms(**fields))
        assert caught.value.code() is code
        assert words in caught.value.details()


def test_a_stream_answers_every_row_in_band_and_in_order(client: Client) -> None:
    answers = list(client.stream([sms(**fields) for _, fields, _, _ in ROWS]))
    assert [answer.status for answer in answers] == [status for status, _, _, _ in ROWS]
    for answer, (_, fields, _, words) in zip(answers, ROWS, strict=True):
        assert words in answer.error
        assert answer.transaction_id == fields.get("transaction_id", answer.transaction_id)
        assert answer.transaction_id


@pytest.mark.parametrize(
    ("strategy", "word"), [("cp1", "daily_cp"), ("cp2", "duplicate"), ("weekly", "weekly_cp")]
)
def test_the_contact_policy_refuses_the_second_message(daemon: Daemon, strategy: str, word: str) -> None:
    with Client(daemon.target) as client:
        number = {"cp1": "998905550001", "cp2": "998905550002", "weekly": "998905550003"}[strategy]
        first, second = (client.send(sms(daddr=number, strategy=strategy)) for _ in range(2))
        assert (first.status, second.status) == ("submitted", word)
        assert not second.message_id
        on_stream = list(client.stream([sms(daddr=number, strategy=strategy)]))
        assert [answer.status for answer in on_stream] == [word]


def test_a_bad_token_is_refused_alike_for_every_cause(daemon: Daemon) -> None:
    bad = [token(ttl_s=-60), token(secret="the-wrong-secret-but-long-enough-yes"), "garbage", token(2)]
    said = set()
    for bearer in bad:
        with Client(daemon.target, bearer=bearer) as client:
            with pytest.raises(grpc.RpcError) as caught:
                client.send()
            said.add((caught.value.code(), caught.value.details()))
            with pytest.raises(grpc.RpcError) as caught:
                list(client.stream([sms()]))
            said.add((caught.value.code(), caught.value.details()))
    assert len(said) == 1
    assert said.pop()[0] is grpc.StatusCode.UNAUTHENTICATED


def test_an_app_may_use_only_its_links_and_senders(daemon: Daemon) -> None:
    with Client(daemon.target, app_id=3, bearer=token(3, secret=THIRD_SECRET)) as client:
        answers = list(
            client.stream([sms(app_id=3), sms(app_id=3, esme=101), sms(app_id=3, esme=101, saddr="ONLY")])
        )
    assert [answer.status for answer in answers] == ["forbidden", "forbidden", "unavailable"]


def test_an_app_over_its_rate_is_told_when_to_come_back(daemon: Daemon) -> None:
    with Client(daemon.target, app_id=2, bearer=token(2, secret=SECOND_SECRET)) as client:
        answers = list(client.stream([sms(app_id=2) for _ in range(3)]))
        assert [answer.status for answer in answers] == ["submitted", "rate_limited", "rate_limited"]
        assert 0 < answers[1].retry_after_ms <= 1000
        with pytest.raises(grpc.RpcError) as caught:
            client.send(sms(app_id=2))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(caught.value.trailing_metadata())
    assert 0 < int(trailers["retry-after-ms"]) <= 1000


def test_a_unary_call_that_would_wait_too_long_for_its_link_is_refused_on_arrival(client: Client) -> None:
    waiting = client.stream([sms(esme=102, message=f"slow {number}") for number in range(4)])
    assert next(waiting).status == "submitted"
    with pytest.raises(grpc.RpcError) as caught:
        client.send(sms(esme=102))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    waiting.cancel()


def test_an_expired_request_never_reaches_the_smsc(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.send(timeout=0.000001)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_message_that_is_too_large_is_refused_and_ends_a_stream_after_its_answers(client: Client) -> None:
    large = sms(message="x" * 9000)
    with pytest.raises(grpc.RpcError) as caught:
        client.send(large)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    answers = []
    with pytest.raises(grpc.RpcError) as caught:
        answers.extend(client.stream([sms(), sms(), large]))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("octets", [b"\x0a", b"\xff\xff\xff", b"\x3a\x05abc", b"\x3a\x02\xff\xfe"])
def test_malformed_protobuf_is_invalid_in_its_place(client: Client, octets: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.send(octets)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    answers = list(client.stream([sms(), octets, sms()]))
    assert [answer.status for answer in answers] == ["submitted", "invalid", "submitted"]


def test_compressed_requests_are_one_option_of_the_client_away(client: Client) -> None:
    long = sms(message="a" * 500)
    assert client.send(long, compression=grpc.Compression.Gzip).status == "submitted"
    answers = client.stream([long], compression=grpc.Compression.Gzip)
    assert [answer.status for answer in answers] == ["submitted"]
    with pytest.raises(grpc.RpcError) as caught:
        client.send(long, compression=grpc.Compression.Deflate)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

"""Request headers: everything odd is refused by name, nothing odd gets through."""

from __future__ import annotations

import contextlib

import pytest
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.rpc.headers import MAX_TIMEOUT_S, CallHeaders, parse_headers
from smsproxy.rpc.status import RefusalError

GOOD = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/sms.v1.SmsService/SendMessage",
    "te": "trailers",
    "content-type": "application/grpc",
}


def parse(changed: dict[str, str | None] | None = None, *more: tuple[str, str]) -> CallHeaders:
    merged = {**GOOD, **(changed or {})}
    pairs = [(name, value) for name, value in merged.items() if value is not None]
    return parse_headers(
        [(name.encode("latin-1"), value.encode("latin-1")) for name, value in [*pairs, *more]]
    )


def refusal(changed: dict[str, str | None] | None = None, *more: tuple[str, str]) -> RefusalError:
    with pytest.raises(RefusalError) as refused:
        parse(changed, *more)
    return refused.value


def test_a_good_request_gives_path_metadata_and_no_deadline() -> None:
    call = parse(None, ("app_id", "1"), ("user-agent", "x"), ("grpc-encoding", "gzip"), ("k-bin", "AAE"))
    assert call.path == "/sms.v1.SmsService/SendMessage"
    assert call.timeout_s is None
    assert call.user_agent == "x"
    assert dict(call.metadata) == {"app_id": "1", "k-bin": b"\0\1"}


@pytest.mark.parametrize(
    "kind", ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"]
)
def test_grpc_content_types_are_taken(kind: str) -> None:
    assert parse({"content-type": kind}).path


@pytest.mark.parametrize(
    ("changed", "more", "text"),
    [
        ({":method": None}, (), ":method is missing"),
        ({":path": None}, (), ":path is missing"),
        ({":path": ""}, (), ":path is missing"),
        ({":scheme": None}, (), ":scheme is missing"),
        ({":method": "GET"}, (), ":method must be POST"),
        ({"content-type": None}, (), "content-type must be"),
        ({"content-type": "application/json"}, (), "content-type must be"),
        ({"content-type": "application/grpc+json"}, (), "content-type must be"),
        ({"content-type": "application/grpcx"}, (), "content-type must be"),
        ({}, (("content-type", "application/grpc"),), "content-type must be"),
        ({"te": None}, (), "te: trailers is missing"),
        ({"te": "gzip"}, (), "te: trailers is missing"),
        ({}, ((":path", "/again"),), "after a regular header"),
        ({":status": "200"}, (), "unknown pseudo-header"),
        ({}, (("connection", "close"),), "header connection is not allowed"),
        ({}, (("Upper", "x"),), "bad character in a header name"),
        ({}, (("", "x"),), "bad character in a header name"),
        ({}, (("x", "\xe9"),), "not ASCII"),
        ({}, (("x", "a\r\nb"),), "bad character in the value of header x"),
        ({}, (("k-bin", "AAAAA"),), "malformed base64 in metadata k-bin"),
        ({}, (("k-bin", "A*=="),), "malformed base64 in metadata k-bin"),
    ],
)
def test_odd_headers_are_refused_by_name(
    changed: dict[str, str | None], more: tuple[tuple[str, str], ...], text: str
) -> None:
    refused = refusal(changed, *more)
    assert refused.status is Status.INVALID_ARGUMENT
    assert text in str(refused.message)


def test_a_pseudo_header_given_twice_is_refused() -> None:
    with pytest.raises(RefusalError, match="given twice"):
        parse_headers([(b":path", b"/a"), (b":path", b"/b")])


def test_http_statuses_tell_plain_http_clients_what_is_wrong() -> None:
    assert refusal({":method": "GET"}).http_status == 405
    assert refusal({"content-type": "text/html"}).http_status == 415
    assert refusal({"te": None}).http_status == 200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1S", 1),
        ("0S", 0),
        ("50m", 0.05),
        ("3u", 3e-6),
        ("7n", 7e-9),
        ("2M", 120),
        ("1H", 3600),
        ("99999999H", MAX_TIMEOUT_S),
    ],
)
def test_grpc_timeout_is_read_in_its_unit(value: str, seconds: float) -> None:
    assert parse(None, ("grpc-timeout", value)).timeout_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", ["", "S", "1", "-1S", "1s", "1.5S", " 1S", "1S ", "123456789S", "9" * 400 + "S", "١S"]
)
def test_a_malformed_timeout_is_refused(value: str) -> None:
    raw = [(name.encode(), text.encode()) for name, text in [*GOOD.items(), ("grpc-timeout", value)]]
    with pytest.raises(RefusalError) as refused:
        parse_headers(raw)
    assert refused.value.status is Status.INVALID_ARGUMENT


def test_two_timeouts_are_refused() -> None:
    assert refusal(None, ("grpc-timeout", "1S"), ("grpc-timeout", "2S")).message == "malformed grpc-timeout"


def test_joined_binary_values_are_split_and_padding_is_optional() -> None:
    call = parse(None, ("k-bin", "AA==,AQ"), ("k-bin", ""))
    assert call.metadata.getall("k-bin") == [b"\0", b"\1", b""]


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=8))
def test_any_headers_are_read_or_refused(raw: list[tuple[bytes, bytes]]) -> None:
    base = [(name.encode(), value.encode()) for name, value in GOOD.items()]
    with contextlib.suppress(RefusalError):
        assert parse_headers([*base, *raw]).path == GOOD[":path"]

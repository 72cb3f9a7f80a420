"""What docs/errors.md says of the wire is what a raw peer sees: each row of its tables, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from grpc_edge_kit import FakeGateway, RawClient, framed_request, good_headers
from grpclib.const import Status
from h2.errors import ErrorCodes

from smsproxy.rpc.budgets import Flood, FloodError
from smsproxy.rpc.server import RpcServer

SEND = "/sms.v1.SmsService/SendMessage"
DOCS = (Path(__file__).resolve().parents[3] / "docs" / "errors.md").read_text()
ON_THE_WIRE = DOCS.partition("\n## On the wire\n")[2].partition("\n## ")[0]
ROWS = {
    cells[0]: tuple(cells[1:])
    for cells in re.findall(r"^\| (.+?) \| ([A-Z_]+) \| (\d+) \| ([A-Z_]+) \|$", ON_THE_WIRE, re.MULTILINE)
}

Headers = list[tuple[Any, Any]]


def but(name: str, *more: tuple[Any, Any]) -> Headers:
    return [*[pair for pair in good_headers(SEND) if pair[0] != name], *more]


def beside(*more: tuple[Any, Any]) -> Headers:
    return [*good_headers(SEND), *more]


CASES: dict[str, list[Headers]] = {
    "a header name in upper case, or with a character that none may have": [
        beside(("Upper", "x")), beside(("a b", "x")),
    ],
    "a header of HTTP/1, such as `connection`": [
        beside((name, "x")) for name in ("connection", "upgrade", "keep-alive", "transfer-encoding")
    ],
    "a pseudo-header missing, twice, unknown, or behind other headers": [
        *[but(name) for name in (":method", ":path", ":scheme")],
        [good_headers(SEND)[0], *good_headers(SEND)], [(":odd", "x"), *good_headers(SEND)],
        but(":authority", (":authority", "x")),
    ],
    "`te` with another value than `trailers`": [but("te", ("te", "gzip"))],
    "no `te: trailers`": [but("te")],
    "a value that is not printable ASCII": [beside((b"x", b"caf\xc3\xa9")), beside((b"x", b"a\x01"))],
    "a malformed `grpc-timeout`, or base64 in a `-bin`": [
        beside(("grpc-timeout", "soon")), beside(("grpc-timeout", "9" * 400 + "S")),
        beside(("x-bin", "AAAAA")),
    ],
    "a deadline of zero": [beside(("grpc-timeout", "0S"))],
    "another method than POST": [[(":method", "GET"), *but(":method")]],
    "another content-type than `application/grpc` or `application/grpc+proto`": [
        but("content-type", ("content-type", "application/json")),
        but("content-type", ("content-type", "application/grpc-web")),
    ],
    "an RPC that does not exist": [[(":path", "/sms.v1.SmsService/No"), *but(":path")]],
    "two `authorization`, or two `app_id`": [
        beside(("authorization", "Bearer good")), beside(("app_id", "1")),
    ],
}  # fmt: skip


def test_the_table_of_requests_has_the_cases_of_this_test() -> None:
    assert set(ROWS) == set(CASES)


@pytest.mark.parametrize("row", CASES)
async def test_a_request_against_the_rules_ends_as_the_docs_say(
    raw: RawClient, gateway: FakeGateway, row: str
) -> None:
    for headers in CASES[row]:
        odd = raw.open(headers=headers)
        if row.startswith("two"):
            raw.data(odd, framed_request())
        stream = raw.streams[odd]
        await raw.until(lambda stream=stream: stream.reset is not None or raw.closed)
        first = stream.headers[0]
        assert (
            Status(stream.grpc_status).name, first[":status"], ErrorCodes(stream.reset).name
        ) == ROWS[row], headers  # fmt: skip
    assert not raw.closed
    assert gateway.tickets == []


def test_the_docs_name_every_flood_as_the_goaway_does() -> None:
    named = set(re.findall(r"`(too_many_\w+)`", ON_THE_WIRE))
    assert named == {FloodError(flood).debug_data.decode() for flood in Flood}


async def test_a_header_list_that_is_too_large_is_told_as_the_docs_say(
    raw: RawClient, server: RpcServer
) -> None:
    raw.open(SEND, more=[("x", "y" * 15_000), ("z", "y" * 1_200)])
    await raw.until(lambda: raw.closed)
    assert (raw.goaway, raw.goaway_data) == (ErrorCodes.ENHANCE_YOUR_CALM, b"")
    assert "over 16 KiB" in ON_THE_WIRE
    assert server.options.max_header_list_bytes == 16 * 1024

"""POST /oauth/token over real sockets: the forms and errors of RFC 6749, and what is not a request at all."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote_plus, urlencode

import pytest
from test_http_server import FakeState, exchange

from smsproxy.auth.grants import Grants
from smsproxy.http import HttpServer, oauth
from smsproxy.http.token_request import MAX_BODY_BYTES, TokenRequest
from smsproxy.obs.log import get_log
from smsproxy.settings import AppSettings, Secret

SECRET = "a secret/with+odd%41&characters=and more"
APPS = {
    1: AppSettings(secret=Secret(SECRET)),
    2: AppSettings(public_key=Secret(b"-----BEGIN"), algorithm="EdDSA"),
}
FORM = {"grant_type": "client_credentials", "client_id": "1", "client_secret": SECRET}
GRANT_ONLY = {"grant_type": "client_credentials"}


@dataclass
class Page:
    status: int
    headers: dict[str, str]
    json: dict[str, object]

    @property
    def told(self) -> tuple[int, object]:
        return self.status, self.json.get("error")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = HttpServer("127.0.0.1:0", FakeState(), Grants(APPS, get_log("test")))
    await server.start()
    yield server.port
    await server.aclose()


async def post(port: int, body: str | bytes | dict[str, str], *more: str, content_type: str = "") -> Page:
    octets = urlencode(body).encode() if isinstance(body, dict) else body
    octets = octets.encode() if isinstance(octets, str) else octets
    lines = [
        "POST /oauth/token HTTP/1.1",
        "host: x",
        "connection: close",
        f"content-type: {content_type or 'application/x-www-form-urlencoded'}",
        f"content-length: {len(octets)}",
        *more,
    ]
    head, _, answer = (await exchange("\r\n".join(lines).encode() + b"\r\n\r\n" + octets, port)).partition(
        b"\r\n\r\n"
    )
    first, *headers = head.decode().split("\r\n")
    found = dict(line.split(": ", 1) for line in headers)
    assert found["cache-control"] == "no-store"
    return Page(int(first.split()[1]), found, json.loads(answer))


def basic(client_id: str = "1", secret: str = SECRET) -> str:
    return "authorization: Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


async def test_a_form_gets_a_token(port: int) -> None:
    page = await post(port, FORM)
    assert page.status == 200
    assert page.headers["content-type"] == "application/json"
    assert page.headers["pragma"] == "no-cache"
    assert set(page.json) == {"access_token", "token_type", "expires_in", "scope"}
    assert (page.json["token_type"], page.json["expires_in"]) == ("Bearer", 3600)
    assert page.json["scope"] == "send read"
    assert str(page.json["access_token"]).count(".") == 2


@pytest.mark.parametrize("secret", [SECRET, quote_plus(SECRET)], ids=["as curl sends it", "form-encoded"])
async def test_basic_gets_a_token_with_the_secret_encoded_or_not(port: int, secret: str) -> None:
    page = await post(port, GRANT_ONLY | {"scope": "read"}, basic(secret=secret))
    assert (page.status, page.json["scope"]) == (200, "read")
    assert (await post(port, GRANT_ONLY | {"client_id": "1"}, basic(secret=secret))).status == 200


@pytest.mark.parametrize(
    ("form", "more", "told"),
    [
        (FORM | {"client_secret": "wrong"}, (), (401, "invalid_client")),
        (FORM | {"client_id": "9"}, (), (401, "invalid_client")),
        (FORM | {"client_id": ""}, (), (401, "invalid_client")),
        (FORM | {"client_secret": ""}, (), (401, "invalid_client")),
        (GRANT_ONLY, (), (401, "invalid_client")),
        (GRANT_ONLY, (basic(secret="wrong"),), (401, "invalid_client")),
        (GRANT_ONLY, (basic("9"),), (401, "invalid_client")),
        (GRANT_ONLY, ("authorization: Bearer x.y.z",), (401, "invalid_client")),
        (GRANT_ONLY, ("authorization: Basic !!!!",), (400, "invalid_request")),
        (GRANT_ONLY, ("authorization: Basic bm8gY29sb24=",), (400, "invalid_request")),
        (GRANT_ONLY, ("authorization: Basic /zp4",), (400, "invalid_request")),
        (GRANT_ONLY, (basic(), basic()), (400, "invalid_request")),
        (FORM, (basic(),), (400, "invalid_request")),
        (GRANT_ONLY | {"client_id": "2"}, (basic(),), (400, "invalid_request")),
        (FORM | {"client_id": "2"}, (), (400, "unauthorized_client")),
        ({"client_id": "1", "client_secret": SECRET}, (), (400, "invalid_request")),
        (FORM | {"grant_type": ""}, (), (400, "invalid_request")),
        (FORM | {"grant_type": "password"}, (), (400, "unsupported_grant_type")),
        (FORM | {"grant_type": "Client_Credentials"}, (), (400, "unsupported_grant_type")),
        (FORM | {"scope": "admin"}, (), (400, "invalid_scope")),
        (FORM | {"scope": "send\nread"}, (), (400, "invalid_request")),
        (FORM | {"client_id": "é"}, (), (400, "invalid_request")),
        (FORM | {"scope": ""}, (), (200, None)),
        (FORM | {"audience": "sms", "resource": "x"}, (), (200, None)),
    ],
)  # fmt: skip
async def test_each_fault_has_the_word_of_the_rfc(
    port: int, form: dict[str, str], more: tuple[str, ...], told: tuple[int, str | None]
) -> None:
    page = await post(port, form, *more)
    assert page.told == told
    assert ("www-authenticate" in page.headers) is (page.status == 401)
    if page.status == 401:
        assert page.headers["www-authenticate"].startswith('Basic realm="smsproxy"')
        assert page.json["error_description"] == "client authentication failed"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "grant_type",
        urlencode(FORM) + "&scope=send&scope=send",
        urlencode(FORM) + "&client_id=1",
        urlencode(FORM) + "&x=1&x=1",
        urlencode(FORM) + "".join(f"&p{number}=1" for number in range(30)),
        urlencode(FORM) + "&%ff=1",
        json.dumps(FORM),
        b"\x00\xff" * 50,
    ],
)
async def test_a_body_that_is_no_form_is_an_invalid_request(port: int, body: str | bytes) -> None:
    assert (await post(port, body)).told == (400, "invalid_request")


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x"]
)
async def test_another_kind_of_body_is_an_invalid_request(port: int, content_type: str) -> None:
    assert (await post(port, FORM, content_type=content_type)).told == (400, "invalid_request")


async def test_a_charset_beside_the_content_type_is_fine(port: int) -> None:
    page = await post(port, FORM, content_type="application/x-www-form-urlencoded; charset=UTF-8")
    assert page.status == 200


async def test_a_body_is_read_up_to_four_kib(port: int) -> None:
    fits = urlencode(FORM | {"x": ""})
    fits += "y" * (MAX_BODY_BYTES - len(fits))
    assert (await post(port, fits)).status == 200
    assert (await post(port, fits + "y")).told == (413, "invalid_request")


async def test_a_body_without_an_end_is_cut_off_at_four_kib(port: int) -> None:
    head = (
        "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        "transfer-encoding: chunked\r\n\r\n"
    )
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    answer = await exchange(head.encode() + chunk * 5, port)  # and no end: the answer ends the connection
    assert b"413" in answer.splitlines()[0]


async def test_a_body_that_does_not_come_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "BODY_S", 0.05)
    head = (
        "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        "content-length: 100\r\n\r\ngrant"
    )
    assert b"408" in (await exchange(head.encode(), port)).splitlines()[0]


async def test_a_client_that_leaves_in_the_middle_leaves_no_trace(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ngrant")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await post(port, FORM)).status == 200


async def test_too_many_wrong_secrets_are_told_when_to_come_back_and_the_right_one_is_taken(
    port: int,
) -> None:
    told = [(await post(port, FORM | {"client_secret": "wrong"})).told for _ in range(5)]
    assert told == [(401, "invalid_client")] * 5
    page = await post(port, FORM | {"client_secret": "wrong"})
    assert page.told == (429, "slow_down")
    assert 1 <= int(page.headers["retry-after"]) <= 2
    assert (await post(port, FORM)).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_only_post_asks_for_a_token(port: int, method: str) -> None:
    request = f"{method} /oauth/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert b" 405 " in (await exchange(request.encode(), port)).splitlines()[0]


async def test_a_door_without_grants_has_no_token_endpoint() -> None:
    server = HttpServer("127.0.0.1:0", FakeState())
    await server.start()
    request = b"POST /oauth/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert b" 404 " in (await exchange(request, server.port)).splitlines()[0]
    await server.aclose()


def test_a_token_request_does_not_show_its_secret() -> None:
    assert SECRET not in repr(TokenRequest("1", (SECRET.encode(),), ""))

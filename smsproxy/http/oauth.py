"""POST /oauth/token: a token for an app's id and secret, the way OAuth 2.0 libraries ask for one (RFC 6749).

The page reads a bounded body in a bounded time, and says what came of it in the RFC's words. Whether there is
a token, and what it is, is for the port (base.TokenGrants). Who calls: `routes`.
"""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from smsproxy.domain.grant import Granted, GrantError, GrantRefusedError
from smsproxy.http.base import TokenGrants
from smsproxy.http.token_request import MAX_BODY_BYTES, read_token_request

BODY_S = 5.0
"""For 4 KiB at most; who is slower than that means to be."""

_NEVER_KEPT = {"cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749 §5.1
_STATUS = {GrantError.INVALID_CLIENT: 401, GrantError.SLOW_DOWN: 429}
_CHALLENGE = 'Basic realm="smsproxy", charset="UTF-8"'


class _BodyError(Exception):
    """The body is not read to its end; the connection cannot go on after it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def token_page(grants: TokenGrants, request: Request) -> Response:
    """The answer to one token request."""
    try:
        body = await _body(request)
        granted = _ask(request, body, grants)
    except _BodyError as error:
        told = {"error": GrantError.INVALID_REQUEST.value, "error_description": str(error)}
        return JSONResponse(told, error.status, _NEVER_KEPT | {"connection": "close"})
    except GrantRefusedError as refusal:
        return _refused(refusal)
    return JSONResponse(
        {
            "access_token": granted.access_token,
            "token_type": "Bearer",
            "expires_in": granted.expires_in_s,
            "scope": granted.scope,
        },
        headers=_NEVER_KEPT,
    )


def _ask(request: Request, body: bytes, grants: TokenGrants) -> Granted:
    headers = request.headers
    asked = read_token_request(headers.getlist("content-type"), headers.getlist("authorization"), body)
    address = request.client.host if request.client is not None else ""
    return grants.grant(asked.client_id, asked.readings, asked.scope, address)


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _BodyError(413, f"the body has more than {MAX_BODY_BYTES} octets")
    except TimeoutError:
        raise _BodyError(408, f"the body did not come within {BODY_S:g} s") from None
    except ClientDisconnect:
        raise _BodyError(400, "the body ended early") from None
    return body


def _refused(refusal: GrantRefusedError) -> Response:
    headers = dict(_NEVER_KEPT)
    status = _STATUS.get(refusal.error, 400)
    if status == 401:  # it names the scheme, whichever the client used (RFC 9110 §15.5.2)
        headers["www-authenticate"] = _CHALLENGE
    if refusal.retry_after_s:
        headers["retry-after"] = str(refusal.retry_after_s)
    return JSONResponse({"error": refusal.error.value, "error_description": str(refusal)}, status, headers)

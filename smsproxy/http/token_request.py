"""Reading a token request (RFC 6749 §4.4.2, §2.3.1): a form, and the client's credentials once.

Plain functions over header values and octets; what is wrong raises GrantRefusedError with the RFC's word.
Who calls: `oauth`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_to_bytes

from smsproxy.domain.grant import GrantError, GrantRefusedError

FORM = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 4096
"""A grant_type, a scope and a secret: 200 octets; a secret may be a few times as long as any is."""
MAX_FIELDS = 20
GRANT_TYPE = "client_credentials"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Who asks, and for what. `readings`: the ways to read what was sent as the secret."""

    client_id: str
    readings: tuple[bytes, ...] = field(repr=False)
    scope: str


def read_token_request(
    content_types: Sequence[str], authorizations: Sequence[str], body: bytes
) -> TokenRequest:
    """The request; all values of the two headers are given. Raises GrantRefusedError."""
    if len(content_types) != 1 or content_types[0].partition(";")[0].strip().lower() != FORM:
        raise _bad_request(f"the body must be {FORM}")
    form = _form(body)
    grant_type = form.get("grant_type", b"")
    if not grant_type:
        raise _bad_request("grant_type is missing")
    if grant_type != GRANT_TYPE.encode():
        raise GrantRefusedError(GrantError.UNSUPPORTED_GRANT_TYPE, f"grant_type must be {GRANT_TYPE}")
    client_id, readings = _credentials(form, authorizations)
    return TokenRequest(client_id, readings, _text("scope", form.get("scope", b"")))


def _form(body: bytes) -> dict[str, bytes]:
    """The parameters. One without a value is as if it were not there, one given twice is an error (§3.2)."""
    try:
        pairs = parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body), max_num_fields=MAX_FIELDS)
    except ValueError:
        raise _bad_request("the body is not a form") from None
    form = {_text("a parameter's name", name): value for name, value in pairs}
    if len(form) != len(pairs):
        raise _bad_request("a parameter is given twice")
    return {name: value for name, value in form.items() if value}


def _credentials(form: dict[str, bytes], authorizations: Sequence[str]) -> tuple[str, tuple[bytes, ...]]:
    if len(authorizations) > 1:
        raise _bad_request("the header authorization is given twice")
    named = _text("client_id", form.get("client_id", b""))
    if not authorizations:
        if not named or "client_secret" not in form:
            raise GrantRefusedError(GrantError.INVALID_CLIENT, "client authentication failed")
        return named, (form["client_secret"],)
    if "client_secret" in form:
        raise _bad_request("the client authenticates by the header or by the form, not both")
    client_id, readings = _basic(authorizations[0])
    if named and named != client_id:
        raise _bad_request("client_id is not the one in the header authorization")
    return client_id, readings


def _basic(value: str) -> tuple[str, tuple[bytes, ...]]:
    """Both halves are form-encoded in base64 (§2.3.1). Many clients, curl among them, leave the encoding out:
    the secret is read both ways."""
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        raise GrantRefusedError(GrantError.INVALID_CLIENT, "client authentication failed")
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        raise _bad_request("the header authorization is malformed") from None
    if not colon:
        raise _bad_request("the header authorization is malformed")
    decoded = unquote_to_bytes(secret.replace(b"+", b" "))
    return _text("client_id", client_id), (secret,) if decoded == secret else (secret, decoded)


def _text(name: str, octets: bytes) -> str:
    """Printable ASCII (RFC 6749, appendix A)."""
    if not (octets.isascii() and octets.decode("ascii").isprintable()):
        raise _bad_request(f"{name} must be printable ASCII")
    return octets.decode("ascii")


def _bad_request(text: str) -> GrantRefusedError:
    return GrantRefusedError(GrantError.INVALID_REQUEST, text)

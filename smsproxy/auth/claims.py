"""Strict reading of a token's header and payload: JSON in which nothing is doubled, guessed or coerced.

Pure functions over octets and values; a `RefusalError` carries the reason for the counter, never for the
caller (spec §2.6). Who calls: `jwt`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NoReturn

LEEWAY_S = 30.0
_MAX_INT64 = 2**63 - 1
_KID = re.compile(r"[A-Za-z0-9._:=+@-]{1,128}")
# Headers that would name a key or change what is signed. Our key is chosen by app_id alone (RFC 8725 §3.10).
_REFUSED_HEADERS = frozenset(
    {"jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "cty"}
)

Json = Mapping[str, object]


class Reason(StrEnum):
    """Why a token was refused: labels of a counter."""

    NO_BEARER = "no_bearer"
    APP_ID = "app_id"
    UNKNOWN_APP = "unknown_app"
    MALFORMED = "malformed"
    HEADER = "header"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"


class RefusalError(Exception):
    """A token is refused, from `since` on (Unix seconds). Never leaves this package."""

    def __init__(self, reason: Reason, since: float = -math.inf) -> None:
        super().__init__(reason)
        self.reason = reason
        self.since = since


def read_object(octets: bytes, reason: Reason) -> Json:
    """A JSON object in UTF-8 without doubled keys, NaN or Infinity."""
    try:
        value: object = json.loads(
            octets.decode(), object_pairs_hook=_undoubled, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, an integer of 4,300 digits
        raise RefusalError(reason) from None
    if not isinstance(value, dict):
        raise RefusalError(reason)
    return value


def _undoubled(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is doubled")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def check_header(header: Json, algorithm: str) -> None:
    """`algorithm` is the app's, from the settings; the token's may only agree (RFC 8725 §3.1)."""
    kid = header.get("kid", "-")
    typ = header.get("typ", "JWT")
    if (
        header.get("alg") != algorithm
        or not _REFUSED_HEADERS.isdisjoint(header)
        or not (isinstance(typ, str) and typ.upper() == "JWT")
        or not (isinstance(kid, str) and _KID.fullmatch(kid))
    ):
        raise RefusalError(Reason.HEADER)


def check_claims(claims: Json, app_id: int, now: float) -> float:
    """Unix seconds at which the caller becomes nobody: `exp` + leeway."""
    if _integer(claims.get("app_id")) != app_id or claims.get("aud"):
        # An audience that we were never told of is not us (RFC 7519 §4.1.3).
        raise RefusalError(Reason.CLAIMS)
    expires_at = _integer(claims.get("exp")) + LEEWAY_S
    for name in ("nbf", "iat"):
        if name in claims and _instant(claims[name]) > now + LEEWAY_S:
            raise RefusalError(Reason.NOT_YET_VALID)
    if now >= expires_at:
        raise RefusalError(Reason.EXPIRED, expires_at)  # a clock that is set back makes it good again
    return expires_at


def granted_scopes(claims: Json, allowed: frozenset[str]) -> frozenset[str]:
    """The app's scopes, or what the token asks for of them (`scope`, space separated, RFC 8693 §4.2)."""
    if "scope" not in claims:
        return allowed
    scope = claims["scope"]
    if not isinstance(scope, str):
        raise RefusalError(Reason.CLAIMS)
    return allowed & frozenset(scope.split(" "))


def _integer(value: object) -> int:
    """A JSON integer in int64: no bool, no float, no text."""
    if type(value) is not int or not -_MAX_INT64 <= value <= _MAX_INT64:
        raise RefusalError(Reason.CLAIMS)
    return value


def _instant(value: object) -> float:
    """A NumericDate, which may have a fraction (RFC 7519 §2)."""
    if type(value) is float and math.isfinite(value):
        return value
    return float(_integer(value))

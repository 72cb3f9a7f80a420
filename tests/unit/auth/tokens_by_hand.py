"""Tokens made by hand, so that a test can make the ones no library would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

NOW = 1_800_000_000
SECRET = b"the-current-secret-of-app-one-0123456789"
PREVIOUS = b"the-previous-secret-of-app-one-012345678"
OTHER = b"the-secret-of-another-app-entirely-01234"


def part(value: object) -> str:
    """One part of a token from what JSON it holds; bytes are taken as they are."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: object, payload: object, secret: bytes = SECRET, digest: str = "sha256") -> str:
    body = f"{part(header)}.{part(payload)}"
    return f"{body}.{part(hmac.new(secret, body.encode(), getattr(hashlib, digest)).digest())}"


def token(*, secret: bytes = SECRET, header: Mapping[str, object] | None = None, **claims: object) -> str:
    """A good token of app 1, but for what is said; a claim given as ... is left out."""
    payload = {"app_id": 1, "exp": NOW + 3600} | claims
    kept = {name: value for name, value in payload.items() if value is not ...}
    return signed({"alg": "HS256", "typ": "JWT"} | dict(header or {}), kept, secret)

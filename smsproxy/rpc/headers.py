"""What a request's headers say, decided before anything else runs (spec §2.1, reliability of the edge).

Plain functions: decoded HPACK in, a `CallHeaders` out, or a RefusalError that is answered at once.
h2's own header checks are off, because it would end the whole connection for one bad request.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from grpclib.const import Status
from multidict import MultiDict

from smsproxy.rpc.status import RefusalError

_INVALID = Status.INVALID_ARGUMENT
_PSEUDO = frozenset({":method", ":path", ":scheme", ":authority"})
# Hop-by-hop headers have no place in HTTP/2 (RFC 9113 §8.2.2).
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
_NOT_METADATA = frozenset({"te", "content-type", "user-agent"})
_CONTENT_TYPE = re.compile(r"application/grpc(\+proto)?\s*(;.*)?")
_NAME = re.compile(r":?[0-9a-z_.\-]+")
# TimeoutValue is a positive integer of at most 8 digits (gRPC over HTTP/2).
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
MAX_TIMEOUT_S = 365 * 86_400.0
"""Longer ones are cut to a year: timers of event loops end somewhere below 8 digits of hours."""

Metadata = MultiDict[str | bytes]


@dataclass(frozen=True, slots=True)
class CallHeaders:
    """A request that may be dispatched. `timeout_s` is None when the caller set no deadline."""

    path: str
    timeout_s: float | None
    metadata: Metadata
    user_agent: str | None
    encoding: str = ""
    """grpc-encoding; only compressed messages need one that we know."""


def parse_headers(raw: Iterable[tuple[bytes, bytes]]) -> CallHeaders:
    """Check everything HTTP/2 and gRPC ask of request headers. Raises RefusalError."""
    pseudo: dict[str, str] = {}
    plain: MultiDict[str] = MultiDict()
    for raw_name, raw_value in raw:
        name, value = _text(raw_name, raw_value)
        if name.startswith(":"):
            _add_pseudo(pseudo, name, value, late=bool(plain))
        elif name in _HOP_BY_HOP:
            raise _malformed(f"header {name} is not allowed in HTTP/2")
        else:
            plain.add(name, value)
    path = _check_request(pseudo, plain)
    return CallHeaders(
        path, _timeout(plain), _metadata(plain), plain.get("user-agent"), plain.get("grpc-encoding", "")
    )


def _malformed(text: str) -> RefusalError:
    """A request that HTTP/2 itself calls malformed (RFC 9113 §8.2, §8.3)."""
    return RefusalError(_INVALID, text, malformed=True)


def _text(raw_name: bytes, raw_value: bytes) -> tuple[str, str]:
    try:
        name, value = raw_name.decode("ascii"), raw_value.decode("ascii")
    except UnicodeDecodeError:
        raise RefusalError(_INVALID, "header is not ASCII") from None
    if _NAME.fullmatch(name) is None:
        raise _malformed("bad character in a header name")
    if not value.isprintable():
        raise RefusalError(_INVALID, f"bad character in the value of header {name}")
    return name, value


def _add_pseudo(pseudo: dict[str, str], name: str, value: str, *, late: bool) -> None:
    if name not in _PSEUDO:
        raise _malformed("unknown pseudo-header")
    if late:
        raise _malformed(f"pseudo-header {name} after a regular header")
    if name in pseudo:
        raise _malformed(f"pseudo-header {name} given twice")
    pseudo[name] = value


def _check_request(pseudo: dict[str, str], plain: MultiDict[str]) -> str:
    """The path of a well-formed gRPC request."""
    for name in (":method", ":scheme", ":path"):
        if not pseudo.get(name):
            raise _malformed(f"pseudo-header {name} is missing")
    if pseudo[":method"] != "POST":
        raise RefusalError(_INVALID, ":method must be POST", http_status=405)
    types = plain.getall("content-type", [])
    if len(types) != 1 or _CONTENT_TYPE.fullmatch(types[0]) is None:
        raise RefusalError(_INVALID, "content-type must be application/grpc", http_status=415)
    if (te := plain.getall("te", [])) != ["trailers"]:
        raise RefusalError(_INVALID, "header te: trailers is missing", malformed=bool(te))
    return pseudo[":path"]


def _timeout(plain: MultiDict[str]) -> float | None:
    values = plain.getall("grpc-timeout", [])
    if not values:
        return None
    match = _TIMEOUT.fullmatch(values[0])
    if len(values) > 1 or match is None:
        raise RefusalError(_INVALID, "malformed grpc-timeout")
    return min(int(match[1]) * _UNIT_S[match[2]], MAX_TIMEOUT_S)


def _metadata(plain: MultiDict[str]) -> Metadata:
    metadata: Metadata = MultiDict()
    for name, value in plain.items():
        if name in _NOT_METADATA or name.startswith("grpc-"):
            continue
        if name.endswith("-bin"):
            for item in value.split(","):  # repeated binary values may be joined by commas
                metadata.add(name, _binary(name, item))
        else:
            metadata.add(name, value)
    return metadata


def _binary(name: str, value: str) -> bytes:
    """Base64 with or without padding, as gRPC asks of receivers."""
    bare = value.strip().rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        raise RefusalError(_INVALID, f"malformed base64 in metadata {name}") from None

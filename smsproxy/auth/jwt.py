"""Callers by JSON web token (spec §2.6). The only module that imports PyJWT.

The key and the algorithm come from the app's settings, chosen by the `app_id` of the metadata; nothing in a
token chooses them. Sizes and shape are checked before anything is decoded. A verified token is remembered,
because a signature costs up to 600 µs and a look-up less than one. Who calls: the pipeline, and `token`.
"""

from __future__ import annotations

import base64
import math
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import jwt
from jwt.algorithms import Algorithm

from smsproxy.auth.base import TokenIssueError
from smsproxy.auth.claims import Reason, RefusalError, check_claims, check_header, granted_scopes, read_object
from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import UnauthenticatedError
from smsproxy.settings import AppSettings, ConfigError, Fault

MAX_TOKEN_CHARS = 4096  # spec §2.6; HTTP servers allow 4 to 8 KiB for a whole header
MAX_HEADER_CHARS = 1024  # a header says alg and typ: 50 characters
MAX_REMEMBERED = 10_000  # at most 40 MB, and usually 5: tokens have 200 to 500 characters
MAX_TTL_S = 10 * 366 * 86_400.0  # ten years: a token is not for ever

_SCHEME = "Bearer "
_PART = r"[A-Za-z0-9_-]+"
_TOKEN = re.compile(rf"({_PART})\.({_PART})\.({_PART})")
_MAX_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _App:
    """What a token of one app is checked against, with its keys parsed once."""

    algorithm: str
    verifier: Algorithm
    keys: tuple[object, ...]
    scopes: frozenset[str]
    esmes: frozenset[int]
    senders: frozenset[str]


class JwtAuthenticator:
    """Tells callers by their token (the `Authenticator` of base.py).

    A remembered token is good until `exp` + leeway and until the next `reload`, never longer. `refused`
    counts by reason, for people; callers get one text.
    """

    def __init__(self, apps: Mapping[int, AppSettings]) -> None:
        self.remembered_hits = 0
        self.verified = 0
        self.evicted = 0
        self.refused: Counter[Reason] = Counter()
        self._seen: OrderedDict[tuple[str | None, str | None], Caller] = OrderedDict()
        self._apps: dict[int, _App] = {}
        self.reload(apps)

    def __repr__(self) -> str:
        return (
            f"<JwtAuthenticator apps={len(self._apps)} remembered={len(self._seen)} "
            f"hits={self.remembered_hits} verified={self.verified} refused={self.refused.total()}>"
        )

    def reload(self, apps: Mapping[int, AppSettings]) -> None:
        """Take new apps and forget every token seen. Raises ConfigError for a key PyJWT refuses; then nothing
        has changed."""
        self._apps = {app_id: _prepared(app_id, app) for app_id, app in apps.items()}
        self._seen.clear()

    def authenticate(self, authorization: str | None, app_id: str | None, now: float) -> Caller:
        """The caller behind two metadata values; `now` is Unix seconds. Raises UnauthenticatedError."""
        caller = self._seen.get((authorization, app_id))
        if caller is not None and now < caller.expires_at:
            self.remembered_hits += 1
            return caller
        try:
            caller = self._verify(authorization, app_id, now)
        except RefusalError as refusal:
            self.refused[refusal.reason] += 1
            raise UnauthenticatedError from None
        self._remember((authorization, app_id), caller)
        return caller

    def _remember(self, key: tuple[str | None, str | None], caller: Caller) -> None:
        if len(self._seen) >= MAX_REMEMBERED:
            self._seen.popitem(last=False)
            self.evicted += 1
        self._seen[key] = caller

    def _verify(self, authorization: str | None, app_id_text: str | None, now: float) -> Caller:
        header, payload, signature = _split(authorization)
        app_id = _app_id(app_id_text)
        app = self._apps.get(app_id)
        if app is None:
            raise RefusalError(Reason.UNKNOWN_APP)
        check_header(read_object(_decoded(header), Reason.HEADER), app.algorithm)
        self.verified += 1
        _check_signature(app, f"{header}.{payload}".encode(), _decoded(signature))
        claims = read_object(_decoded(payload), Reason.MALFORMED)
        expires_at = check_claims(claims, app_id, now)
        return Caller(app_id, expires_at, granted_scopes(claims, app.scopes), app.esmes, app.senders)


def issue_token(app: AppSettings, app_id: int, ttl_s: float, now: float, scope: str | None = None) -> str:
    """A token signed with the app's current secret, good from `now` (Unix seconds) for `ttl_s` seconds.

    Raises TokenIssueError for an app with a public key, and for a ttl or scope that makes no sense.
    """
    if not app.secrets:
        raise TokenIssueError(
            f"app {app_id} has a public key only: whoever holds the private key makes its tokens"
        )
    if not 0 < ttl_s <= MAX_TTL_S:
        raise TokenIssueError(f"a token lives for more than 0 s and at most ten years, not {ttl_s:g} s")
    claims: dict[str, object] = {"app_id": app_id, "iat": math.floor(now), "exp": math.ceil(now + ttl_s)}
    if scope is not None:
        beyond = set(scope.split()) - set(app.scopes)
        if beyond:
            raise TokenIssueError(f"app {app_id} does not have the scope {', '.join(sorted(beyond))}")
        claims["scope"] = " ".join(scope.split())
    return jwt.encode(claims, app.secrets[0].octets(), algorithm=app.algorithm)


def _prepared(app_id: int, app: AppSettings) -> _App:
    raw_keys = (app.public_key,) if app.public_key else app.secrets
    verifier = jwt.get_algorithm_by_name(app.algorithm)
    try:
        keys = tuple(verifier.prepare_key(key.octets()) for key in raw_keys)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ConfigError([Fault("", f"apps.{app_id}", f"its key is not one for {app.algorithm}")]) from None
    return _App(
        app.algorithm, verifier, keys, frozenset(app.scopes), frozenset(app.esmes), frozenset(app.senders)
    )


def _split(authorization: str | None) -> tuple[str, str, str]:
    """The three parts of ``Bearer a.b.c``: exactly that, one space, no padding, nothing after it."""
    if authorization is None or not authorization.startswith(_SCHEME):
        raise RefusalError(Reason.NO_BEARER)
    if len(authorization) > len(_SCHEME) + MAX_TOKEN_CHARS:
        raise RefusalError(Reason.MALFORMED)
    match = _TOKEN.fullmatch(authorization, len(_SCHEME))
    if match is None or len(match[1]) > MAX_HEADER_CHARS:
        raise RefusalError(Reason.MALFORMED)
    return match[1], match[2], match[3]


def _app_id(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise RefusalError(Reason.APP_ID)
    number = int(text)
    if number > _MAX_INT64:
        raise RefusalError(Reason.APP_ID)
    return number


def _decoded(part: str) -> bytes:
    """base64url without padding. Spare bits must be zero, so a token has one spelling (RFC 4648 §3.5)."""
    try:
        octets = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise RefusalError(Reason.MALFORMED) from None
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != part.encode():
        raise RefusalError(Reason.MALFORMED)
    return octets


def _check_signature(app: _App, signed: bytes, signature: bytes) -> None:
    for key in app.keys:
        if app.verifier.verify(signed, key, signature):
            return
    raise RefusalError(Reason.SIGNATURE)

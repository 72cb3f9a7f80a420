"""Callers by JSON web token (spec §2.6). This package alone imports PyJWT.

The key and the algorithm come from the app's settings, chosen by the `app_id` of the metadata; nothing in a
token chooses them. Sizes and shape are checked before anything is decoded. A verified token is remembered,
because a signature costs up to 600 µs and a look-up less than one; so is one whose check failed, by its
digest, so that the same bad token again costs no signature. Who calls: `doorkeeper`, and `issue`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import jwt
from jwt.algorithms import Algorithm

from smsproxy.auth.base import RefusedTokenError
from smsproxy.auth.claims import Reason, RefusalError, check_claims, check_header, granted_scopes, read_object
from smsproxy.domain.caller import Caller
from smsproxy.settings import AppSettings, ConfigError, Fault

MAX_TOKEN_CHARS = 4096  # spec §2.6; HTTP servers allow 4 to 8 KiB for a whole header
MAX_HEADER_CHARS = 1024  # a header says alg and typ: 50 characters
MAX_REMEMBERED = 10_000  # at most 40 MB, and usually 5: tokens have 200 to 500 characters
MAX_REMEMBERED_BAD = 10_000  # 2 MB: digests of 16 octets, whatever a stranger sent

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
    client_cert_required: bool


@dataclass(frozen=True, slots=True)
class _Token:
    """A token of the right shape, of an app that exists: all that can be said before its signature."""

    app_id: int
    app: _App
    header: str
    payload: str
    signature: str
    digest: bytes


class JwtAuthenticator:
    """Tells callers by their token. Plain calls, no I/O.

    A remembered token is good until `exp` + leeway and until the next `reload`, never longer; a remembered
    bad one is bad until the next `reload`. `refused` counts by reason, for people; callers get one text.
    """

    def __init__(self, apps: Mapping[int, AppSettings]) -> None:
        self.remembered_hits = 0
        self.verified = 0
        self.evicted = 0
        self.refused: Counter[Reason] = Counter()
        self.refused_by_memory = 0
        self._seen: OrderedDict[tuple[str | None, str | None], Caller] = OrderedDict()
        self._bad: OrderedDict[bytes, tuple[Reason, float]] = OrderedDict()
        self._apps: dict[int, _App] = {}
        self.reload(apps)

    def __repr__(self) -> str:
        return (
            f"<JwtAuthenticator apps={len(self._apps)} remembered={len(self._seen)} bad={len(self._bad)} "
            f"hits={self.remembered_hits} verified={self.verified} refused={self.refused.total()}>"
        )

    def reload(self, apps: Mapping[int, AppSettings]) -> None:
        """Take new apps and forget every token seen. Raises ConfigError for a key PyJWT refuses; then nothing
        has changed."""
        self._apps = {app_id: _prepared(app_id, app) for app_id, app in apps.items()}
        self._seen.clear()
        self._bad.clear()

    def authenticate(self, authorization: str | None, app_id: str | None, now: float) -> Caller:
        """The caller behind two metadata values; `now` is Unix seconds. Raises RefusedTokenError."""
        caller = self._remembered(authorization, app_id, now)
        if caller is None:
            try:
                caller = self._verify(self._read(authorization, app_id, now), now)
            except RefusalError as refusal:
                self.refused[refusal.reason] += 1
                raise RefusedTokenError(refusal.reason) from None
            self._remember((authorization, app_id), caller)
        return caller

    def recall(self, authorization: str | None, app_id: str | None, now: float) -> Caller | None:
        """`authenticate` as far as it goes without a signature check; None when it takes one."""
        caller = self._remembered(authorization, app_id, now)
        if caller is None:
            try:
                self._read(authorization, app_id, now)
            except RefusalError as refusal:
                self.refused[refusal.reason] += 1
                raise RefusedTokenError(refusal.reason) from None
        return caller

    def _remembered(self, authorization: str | None, app_id: str | None, now: float) -> Caller | None:
        caller = self._seen.get((authorization, app_id))
        if caller is None or now >= caller.expires_at:
            return None
        self.remembered_hits += 1
        return caller

    def _remember(self, key: tuple[str | None, str | None], caller: Caller) -> None:
        if len(self._seen) >= MAX_REMEMBERED and key not in self._seen:
            self._seen.popitem(last=False)
            self.evicted += 1
        self._seen[key] = caller

    def _read(self, authorization: str | None, app_id_text: str | None, now: float) -> _Token:
        header, payload, signature = _split(authorization)
        app_id = _app_id(app_id_text)
        app = self._apps.get(app_id)
        if app is None:
            raise RefusalError(Reason.UNKNOWN_APP)
        digest = hashlib.blake2b(f"{app_id} {authorization}".encode(), digest_size=16).digest()
        bad = self._bad.get(digest)
        if bad is not None and now >= bad[1]:
            self.refused_by_memory += 1
            raise RefusalError(bad[0])
        return _Token(app_id, app, header, payload, signature, digest)

    def _verify(self, token: _Token, now: float) -> Caller:
        try:
            return self._checked(token, now)
        except RefusalError as refusal:
            if refusal.reason is not Reason.NOT_YET_VALID:  # that one will become good
                if len(self._bad) >= MAX_REMEMBERED_BAD and token.digest not in self._bad:
                    self._bad.popitem(last=False)
                self._bad[token.digest] = (refusal.reason, refusal.since)
            raise

    def _checked(self, token: _Token, now: float) -> Caller:
        app = token.app
        check_header(read_object(_decoded(token.header), Reason.HEADER), app.algorithm)
        self.verified += 1
        _check_signature(app, f"{token.header}.{token.payload}".encode(), _decoded(token.signature))
        claims = read_object(_decoded(token.payload), Reason.MALFORMED)
        expires_at = check_claims(claims, token.app_id, now)
        scopes = granted_scopes(claims, app.scopes)
        return Caller(token.app_id, expires_at, scopes, app.esmes, app.senders, app.client_cert_required)


def _prepared(app_id: int, app: AppSettings) -> _App:
    raw_keys = (app.public_key,) if app.public_key else app.secrets
    verifier = jwt.get_algorithm_by_name(app.algorithm)
    try:
        keys = tuple(verifier.prepare_key(key.octets()) for key in raw_keys)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ConfigError([Fault("", f"apps.{app_id}", f"its key is not one for {app.algorithm}")]) from None
    return _App(
        app.algorithm,
        verifier,
        keys,
        frozenset(app.scopes),
        frozenset(app.esmes),
        frozenset(app.senders),
        app.client_cert_required,
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

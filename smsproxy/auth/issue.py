"""Making tokens: for people and scripts (`smsproxy token`), our own commands, and the token endpoint.

A token is signed with the app's current secret, or with the private key that only the app's owner has. A
token made here is one that `jwt` takes: what would not be is refused with a sentence that says why.
"""

from __future__ import annotations

import math

import jwt

from smsproxy.auth.base import TokenIssueError
from smsproxy.auth.jwt import JwtAuthenticator
from smsproxy.domain.errors import UnauthenticatedError
from smsproxy.settings import AppSettings, Secret

MAX_TTL_S = 10 * 366 * 86_400.0  # ten years: a token is not for ever


def issue_token(
    app: AppSettings,
    app_id: int,
    ttl_s: float,
    now: float,
    scope: str | None = None,
    private_key: Secret | None = None,
) -> str:
    """A token good from `now` (Unix seconds) for `ttl_s` seconds, signed with the app's current secret.

    An app with a public key needs its `private_key` (PEM). Raises TokenIssueError when there is no key or not
    the right one, and for a ttl or scope that makes no sense.
    """
    key = _signing_key(app, app_id, private_key)
    if not 0 < ttl_s <= MAX_TTL_S:
        raise TokenIssueError(f"a token lives for more than 0 s and at most ten years, not {ttl_s:g} s")
    issued_at = math.floor(now)
    claims: dict[str, object] = {"app_id": app_id, "iat": issued_at, "exp": issued_at + math.ceil(ttl_s)}
    if scope is not None:
        beyond = set(scope.split()) - set(app.scopes)
        if beyond:
            raise TokenIssueError(f"app {app_id} does not have the scope {', '.join(sorted(beyond))}")
        claims["scope"] = " ".join(scope.split())
    try:
        made = jwt.encode(claims, key.octets(), algorithm=app.algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        # Not a key of this kind, one behind a pass phrase, or (AttributeError, from PyJWT) a public one.
        raise TokenIssueError(
            f"the key is not a private key for {app.algorithm}, in PEM, unencrypted"
        ) from None
    if private_key is not None:
        _check_pair(app, app_id, made, now)
    return made


def _signing_key(app: AppSettings, app_id: int, private_key: Secret | None) -> Secret:
    if private_key is None and not app.secrets:
        raise TokenIssueError(
            f"app {app_id} has a public key only: whoever holds the private key makes its tokens"
        )
    if private_key is not None and app.secrets:
        raise TokenIssueError(f"app {app_id} has a secret, which signs its tokens: it needs no private key")
    return private_key or app.secrets[0]


def _check_pair(app: AppSettings, app_id: int, made: str, now: float) -> None:
    """A private key of another pair would make tokens that nobody takes."""
    try:
        JwtAuthenticator({app_id: app}).authenticate(f"Bearer {made}", str(app_id), now)
    except UnauthenticatedError:
        raise TokenIssueError(f"the private key is not the one to the public key of app {app_id}") from None

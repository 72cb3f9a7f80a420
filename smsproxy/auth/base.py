"""What the pipeline asks of authentication: a Caller for two metadata values, or one error for all causes.

Who calls: the pipeline's gateway. `authenticate` once per call, `authenticate_again` once per batch of an
open stream, so that a revocation reaches it; a token that was seen before costs a dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from smsproxy.auth.claims import Reason
from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import ProductError, UnauthenticatedError
from smsproxy.settings import AppSettings


class TokenIssueError(ProductError):
    """The operator's fault: no token can be made for this app. The text says why; no secret is in it."""


class RefusedTokenError(UnauthenticatedError):
    """Why a token was refused, for the operator's log. The text is the one for all causes."""

    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self.reason = reason


class Authenticator(Protocol):
    """Tells callers by their metadata."""

    async def authenticate(self, authorization: str | None, app_id: str | None, address: str) -> Caller:
        """Who opens a call from `address` ("" when it has none: a Unix socket).

        Waits, a bounded time, only when many tokens from that address were bad lately and this one was never
        seen; a good token is never refused for it. Raises UnauthenticatedError, one text for all causes.
        """
        ...

    def authenticate_again(self, authorization: str | None, app_id: str | None) -> Caller:
        """Who sends on a call that is open. At once: the token was good when the call was opened."""
        ...

    def reload(self, apps: Mapping[int, AppSettings]) -> None:
        """Take new apps and forget every token seen so far."""
        ...

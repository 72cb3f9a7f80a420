"""What the pipeline asks of authentication: a Caller for two metadata values, or one error for all causes.

Who calls: the pipeline's `authenticate`, once per unary call and once per batch of a stream, so that a
revocation reaches open streams; a token that was seen before costs a dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import ProductError
from smsproxy.settings import AppSettings


class TokenIssueError(ProductError):
    """The operator's fault: no token can be made for this app. The text says why; no secret is in it."""


class Authenticator(Protocol):
    """Tells callers by their metadata. Plain calls, no I/O."""

    def authenticate(self, authorization: str | None, app_id: str | None, now: float) -> Caller:
        """The caller. `now` is Unix seconds. Raises UnauthenticatedError, with one text for all causes."""
        ...

    def reload(self, apps: Mapping[int, AppSettings]) -> None:
        """Take new apps and forget every token seen so far."""
        ...

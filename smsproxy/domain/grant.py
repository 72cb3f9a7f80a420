"""What the token endpoint answers (RFC 6749 §5): a token, or one of the errors that have a name there.

The words in which the HTTP door and authentication meet: the door knows nothing of tokens, and authentication
nothing of HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from smsproxy.domain.errors import ProductError


class GrantError(StrEnum):
    """RFC 6749 §5.2; the last is ours for a budget that is used up, for which the RFC has no word."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    INVALID_SCOPE = "invalid_scope"
    SLOW_DOWN = "slow_down"


@dataclass(frozen=True, slots=True)
class Granted:
    """A token, what it is good for, and how long from now."""

    access_token: str = field(repr=False)
    expires_in_s: int
    scope: str
    """Space separated (RFC 6749 §3.3)."""


class GrantRefusedError(ProductError):
    """No token. The text is for the client's developer; no secret is in it."""

    def __init__(self, error: GrantError, text: str, retry_after_s: int = 0) -> None:
        super().__init__(text)
        self.error = error
        self.retry_after_s = retry_after_s

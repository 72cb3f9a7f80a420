"""Errors that cross floors. Each says whose fault it is and what was sent.

ProductError
├── Unauthenticated     the caller's fault, nothing sent; one text for all causes
├── StoreUnavailable    ours, safe to retry, nothing was sent because of it
├── Refused             a call that ends in a word of the contract, nothing sent
└── NotFound / Forbidden  the caller's fault, nothing sent
"""

from __future__ import annotations

from smsproxy.domain.outcome import Status


class ProductError(Exception):
    """Base of our own errors; never raised itself."""


class UnauthenticatedError(ProductError):
    """No or bad token. The text is one for all causes, so that nobody can probe for the reason."""

    def __init__(self) -> None:
        super().__init__("authentication failed")


class RefusedError(ProductError):
    """A call that is no message ends with a status word of spec §2.1; nothing was done."""

    def __init__(self, status: Status, reason: str, retry_after_ms: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_ms = retry_after_ms


class ForbiddenError(ProductError):
    """The caller is known but may not do this."""


class NotFoundError(ProductError):
    """What was asked for does not exist (a link or pool id)."""


class StoreUnavailableError(ProductError):
    """The store cannot take or give records now. Whatever asked was not written."""

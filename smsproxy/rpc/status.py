"""Spec §2.1's table in one place: how an end of a request is told on a unary call.

On a stream every end is told in band, so the stream needs none of this but for its own end. `RefusalError` is
the one exception by which anything of this package ends a call with a gRPC status.
"""

from __future__ import annotations

import secrets

import structlog
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from smsproxy.domain.errors import (
    ForbiddenError,
    NotFoundError,
    ProductError,
    RefusedError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from smsproxy.domain.outcome import Answer
from smsproxy.domain.outcome import Status as AnswerStatus
from smsproxy.rpc.details import Reason, details_of

log = structlog.get_logger("smsproxy.rpc")

STORE_AWAY = "the record store is not available"
DRAINING = "draining: requests without an answer were not sent"
OVERTAKEN = "the deadline passed during the submission: what has no answer may have been sent"

# None: told in the response itself, with the gRPC status OK.
UNARY_STATUS: dict[AnswerStatus, Status | None] = {
    AnswerStatus.SUBMITTED: None,
    AnswerStatus.DAILY_CP: None,
    AnswerStatus.WEEKLY_CP: None,
    AnswerStatus.DUPLICATE: None,
    AnswerStatus.BLACKLIST: None,
    AnswerStatus.REJECTED: None,
    AnswerStatus.UNKNOWN: None,
    AnswerStatus.INVALID: Status.INVALID_ARGUMENT,
    AnswerStatus.UNAUTHENTICATED: Status.UNAUTHENTICATED,
    AnswerStatus.FORBIDDEN: Status.PERMISSION_DENIED,
    AnswerStatus.NO_ROUTE: Status.NOT_FOUND,
    AnswerStatus.RATE_LIMITED: Status.RESOURCE_EXHAUSTED,
    AnswerStatus.UNAVAILABLE: Status.UNAVAILABLE,
    AnswerStatus.EXPIRED: Status.DEADLINE_EXCEEDED,
    AnswerStatus.INTERNAL: Status.INTERNAL,
}

_PRODUCT_ERRORS: dict[type[ProductError], Status] = {
    UnauthenticatedError: Status.UNAUTHENTICATED,
    ForbiddenError: Status.PERMISSION_DENIED,
    NotFoundError: Status.NOT_FOUND,
}


class RefusalError(GRPCError):
    """Ends a call with `status`; `reason` says more than the status does (`details`).

    `extra` trailers go out as they are, beside those that every refusal has. `malformed`: the request is none
    in HTTP/2 itself (RFC 9113 §8.1.1), so its stream is reset after the answer.
    """

    def __init__(
        self,
        status: Status,
        message: str,
        reason: Reason | None = None,
        *,
        extra: tuple[tuple[str, str], ...] = (),
        http_status: int = 200,
        malformed: bool = False,
        transaction_id: str = "",
        retry_after_ms: int = 0,
    ) -> None:
        super().__init__(status, message)
        self.text = message
        self.reason = reason
        self.extra = extra
        self.http_status = http_status
        self.malformed = malformed
        self.transaction_id = transaction_id
        self.retry_after_ms = retry_after_ms

    @property
    def trailers(self) -> list[tuple[str, str]]:
        """All that go beside grpc-status and grpc-message."""
        found = list(self.extra)
        if self.retry_after_ms:
            found.append(("retry-after-ms", str(self.retry_after_ms)))
        found.append(
            details_of(
                self.status,
                self.text,
                self.reason,
                transaction_id=self.transaction_id,
                retry_after_ms=self.retry_after_ms,
            )
        )
        return found


def refusal_of_answer(answer: Answer) -> RefusalError | None:
    """How a unary call tells this end, or None when the response itself does."""
    status = UNARY_STATUS[answer.status]
    if status is None:
        return None
    text = answer.error or answer.status.value
    return RefusalError(
        status,
        text,
        Reason.INVALID_FIELD if answer.status is AnswerStatus.INVALID and ": " in text else None,
        transaction_id=answer.transaction_id,
        retry_after_ms=answer.retry_after_ms,
    )


def refusal_of_error(error: ProductError) -> RefusalError:
    """How a call tells an error of the core. An error without a row here is internal."""
    if isinstance(error, StoreUnavailableError):  # its text has the store's path: for the log
        return RefusalError(Status.UNAVAILABLE, STORE_AWAY)
    if isinstance(error, RefusedError):
        answer = Answer(error.status, error=str(error), retry_after_ms=error.retry_after_ms)
        refusal = refusal_of_answer(answer)
        if refusal is not None:
            return refusal
    for kind, status in _PRODUCT_ERRORS.items():
        if isinstance(error, kind):
            return RefusalError(status, str(error) or kind.__name__)
    return RefusalError(Status.INTERNAL, internal_error(error))


def in_doubt(transaction_id: str = "") -> RefusalError:
    """The caller's own deadline passed when octets may have left: `expired` would promise that none did."""
    return RefusalError(Status.DEADLINE_EXCEEDED, OVERTAKEN, Reason.IN_DOUBT, transaction_id=transaction_id)


def internal_error(error: BaseException) -> str:
    """Log what happened and give the text for the caller: an id that the log also has, nothing else."""
    error_id = secrets.token_hex(6)
    log.error("rpc_internal_error", error_id=error_id, exc_info=error)
    return f"internal error {error_id}"

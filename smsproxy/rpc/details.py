"""Rich errors: `google.rpc` details beside the plain gRPC status, for clients that branch on them.

Every call that ends by an error carries an ErrorInfo with a stable reason of the domain `smsproxy`; a bad
field adds a BadRequest, a limit a RetryInfo (docs/errors.md). They travel in `grpc-status-details-bin`, where
every gRPC library finds them. Built by `dispatch` when a call ends.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from enum import StrEnum

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from grpclib.const import Status

DOMAIN = "smsproxy"
TRAILER = "grpc-status-details-bin"
_TYPE_PREFIX = "type.googleapis.com/"


class Reason(StrEnum):
    """ErrorInfo.reason: contract, never changed. What a client may do about each: docs/errors.md."""

    INVALID_FIELD = "INVALID_FIELD"
    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    BAD_REQUEST = "BAD_REQUEST"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    UNKNOWN_COMPRESSION = "UNKNOWN_COMPRESSION"
    UNKNOWN_METHOD = "UNKNOWN_METHOD"
    UNKNOWN_SERVICE = "UNKNOWN_SERVICE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    SCOPE_MISSING = "SCOPE_MISSING"
    NO_ROUTE = "NO_ROUTE"
    RATE_LIMITED = "RATE_LIMITED"
    UNAVAILABLE = "UNAVAILABLE"
    DRAINING = "DRAINING"
    EXPIRED = "EXPIRED"
    IN_DOUBT = "IN_DOUBT"
    INTERNAL = "INTERNAL"


USUAL: Mapping[Status, Reason] = {
    Status.INVALID_ARGUMENT: Reason.BAD_REQUEST,
    Status.UNIMPLEMENTED: Reason.UNKNOWN_METHOD,
    Status.UNAUTHENTICATED: Reason.UNAUTHENTICATED,
    Status.PERMISSION_DENIED: Reason.FORBIDDEN,
    Status.NOT_FOUND: Reason.NO_ROUTE,
    Status.RESOURCE_EXHAUSTED: Reason.RATE_LIMITED,
    Status.UNAVAILABLE: Reason.UNAVAILABLE,
    Status.DEADLINE_EXCEEDED: Reason.EXPIRED,
}
"""The reason of a status where nothing says more; of any other, INTERNAL."""


def details_of(
    status: Status, message: str, reason: Reason | None, *, transaction_id: str, retry_after_ms: int
) -> tuple[str, str]:
    """The trailer. `transaction_id`: the message's, given or generated; `retry_after_ms` 0 says nothing."""
    reason = reason or USUAL.get(status, Reason.INTERNAL)
    info = ErrorInfo(reason=reason.value, domain=DOMAIN)
    if transaction_id:
        info.metadata["transaction_id"] = transaction_id
    details: list[Message] = [info]
    if reason is Reason.INVALID_FIELD:
        field, _, rule = message.partition(": ")
        violation = BadRequest.FieldViolation(field=field, description=rule)
        details.append(BadRequest(field_violations=[violation]))
    if retry_after_ms:
        seconds, ms = divmod(retry_after_ms, 1000)
        details.append(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=ms * 1_000_000)))
    packed = RpcStatus(code=status.value, message=message, details=[_any(each) for each in details])
    return TRAILER, base64.b64encode(packed.SerializeToString()).decode().rstrip("=")


def _any(message: Message) -> Any:
    return Any(type_url=_TYPE_PREFIX + message.DESCRIPTOR.full_name, value=message.SerializeToString())

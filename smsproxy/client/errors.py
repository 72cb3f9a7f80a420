"""Why there is no answer. One line of text each; the border where grpclib's errors end is `client_error`.

ClientError
├── UnreachableError        no connection, or it broke too often; safe to repeat (same transaction_id)
├── TimedOutError           no answer in time; safe to repeat (same transaction_id)
├── UnauthenticatedError    the token is not accepted; the caller's fault, nothing was sent
├── MessageError            no SmsRequest can hold the message; the caller's fault, nothing was sent
├── RefusedError            the daemon said no to the call as a whole
│   ├── ForbiddenError      the app may not do this
│   ├── NotFoundError       no such link, pool or message
│   └── UnavailableError    the daemon cannot do it now (draining, store down); nothing was sent, repeat later
└── ProtocolError           what is there does not speak sms.v1
"""

from __future__ import annotations

import asyncio

from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.exceptions import ProtocolError as GrpcProtocolError
from h2.exceptions import ProtocolError as Http2Error


class ClientError(Exception):
    """Base of the client's errors; never raised itself."""


class UnreachableError(ClientError):
    """No connection, or it broke too often."""


class TimedOutError(ClientError):
    """No answer in time."""


class UnauthenticatedError(ClientError):
    """The token is not accepted."""


class MessageError(ClientError, ValueError):
    """The message cannot be written as an SmsRequest."""


class RefusedError(ClientError):
    """The daemon said no to the call. `status` is gRPC's word for it."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message or status)
        self.status = status


class ForbiddenError(RefusedError):
    """The app may not do this."""


class NotFoundError(RefusedError):
    """No such link, pool or message."""


class UnavailableError(RefusedError):
    """The daemon cannot do it now; nothing was sent."""


class ProtocolError(ClientError):
    """What is there does not speak sms.v1."""


BROKEN = (OSError, StreamTerminatedError, Http2Error)
"""How grpclib tells of a connection that is not there, or not any more. (TimeoutError is an OSError.)"""

FOREIGN = (GRPCError, *BROKEN, GrpcProtocolError, DecodeError, AssertionError, NotImplementedError)
"""All that may come out of a call. The last two are grpclib's for a cut or a compressed message."""

_REFUSALS: dict[Status, type[RefusedError]] = {
    Status.PERMISSION_DENIED: ForbiddenError,
    Status.NOT_FOUND: NotFoundError,
    Status.UNAVAILABLE: UnavailableError,
}


def client_error(error: BaseException, target: str) -> ClientError:
    """Our error for one of FOREIGN."""
    match error:
        case ClientError():
            return error
        case GRPCError():
            return _of_status(error, target)
        case asyncio.TimeoutError():
            return TimedOutError(f"{target}: no answer in time")
        case OSError():
            return UnreachableError(f"{target}: {_words(error)}")
        case StreamTerminatedError() | Http2Error():
            return UnreachableError(f"{target}: the connection broke: {error}")
        case _:
            return ProtocolError(f"{target}: does not speak sms.v1: {error}")


def _of_status(error: GRPCError, target: str) -> ClientError:
    text = " ".join((error.message or "").split())
    match error.status:
        case Status.UNAUTHENTICATED:
            return UnauthenticatedError(text or "authentication failed")
        case Status.DEADLINE_EXCEEDED:
            return TimedOutError(f"{target}: {text or 'no answer in time'}")
        case Status.UNKNOWN | Status.UNIMPLEMENTED:  # the daemon never answers UNKNOWN (spec §2.1)
            return ProtocolError(f"{target}: does not speak sms.v1: {text or error.status.name}")
        case status:
            return _REFUSALS.get(status, RefusedError)(status.name, text)


def _words(error: OSError) -> str:
    """`asyncio` puts every address it tried into one long text; the cause is the same in each."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if "WRONG_VERSION_NUMBER" in str(error):
        return "speaks no TLS"
    return " ".join((error.strerror or str(error) or type(error).__name__).split())

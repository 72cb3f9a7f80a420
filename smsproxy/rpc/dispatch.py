"""The life of one call, from its headers to its trailers. Replaces grpclib's request_handler.

Whatever happens, the caller is answered at once, with one of the statuses the contract names: never UNKNOWN,
never silence, and the text of an internal error stays in the log, under the id that the caller gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from grpclib.const import Cardinality, Status
from grpclib.const import Handler as Method
from grpclib.encoding.base import CodecBase
from grpclib.events import _DispatchServerEvents
from grpclib.exceptions import GRPCError

from smsproxy.domain.errors import ProductError
from smsproxy.rpc.call import Call, send_end
from smsproxy.rpc.flow import GuardedStream
from smsproxy.rpc.headers import CallHeaders, parse_headers
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.status import RefusalError, internal_error, refusal_of_error
from smsproxy.rpc.whole import CONTENT_TYPE

DEADLINE_EXCEEDED = "deadline exceeded"

RawHeaders = Iterable[tuple[bytes, bytes]]


class Dispatcher:
    """Runs calls against the method table. One per server."""

    def __init__(
        self,
        mapping: Mapping[str, Method],
        codec: CodecBase,
        dispatch: _DispatchServerEvents,
        options: RpcOptions,
        counters: RpcCounters,
    ) -> None:
        self._mapping = mapping
        self._codec = codec
        self._dispatch = dispatch
        self._options = options
        self._counters = counters

    async def run_call(self, stream: GuardedStream, raw: RawHeaders, opened: Callable[[Call], None]) -> None:
        """From headers to trailers. `opened` gets the call before its method starts."""
        self._counters.calls_total += 1
        try:
            call = self._open(stream, parse_headers(raw))
        except RefusalError as refusal:
            await self._refuse(stream, refusal)
            return
        opened(call)
        refusal_or_none = await self._outcome(call)
        if refusal_or_none is None:
            self._count(Status.OK)
            await call.end(Status.OK)
        else:
            self._count(refusal_or_none.status)
            await call.linger()
            await call.end(refusal_or_none.status, refusal_or_none.message, refusal_or_none.trailers)

    def _open(self, stream: GuardedStream, headers: CallHeaders) -> Call:
        method = self._mapping.get(headers.path)
        if method is None:
            raise RefusalError(Status.UNIMPLEMENTED, "method not found")
        timeout_s = headers.timeout_s
        if timeout_s is not None and timeout_s <= 0:
            raise RefusalError(Status.DEADLINE_EXCEEDED, DEADLINE_EXCEEDED)
        ours = timeout_s is None and method.cardinality is Cardinality.UNARY_UNARY
        if ours:
            timeout_s = self._options.default_deadline_s
        deadline_at = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        return Call(
            stream,
            method,
            headers,
            codec=self._codec,
            dispatch=self._dispatch,
            deadline_at=deadline_at,
            deadline_is_ours=ours,
        )

    async def _outcome(self, call: Call) -> RefusalError | None:
        """Run the method under the deadline. None: it ended well."""
        try:
            async with call.timeout:
                await self._mapping[call._method_name].func(call)
        except RefusalError as refusal:
            self._counters.messages_oversized_total += bool(call.buffer.oversized)
            return refusal
        except GRPCError as error:
            return RefusalError(error.status, error.message or error.status.name)
        except ProductError as error:
            return refusal_of_error(error)
        except Exception as error:  # the supervised loop of a call: log, count, answer
            if isinstance(error, TimeoutError) and call.timeout.expired():
                return RefusalError(Status.DEADLINE_EXCEEDED, DEADLINE_EXCEEDED)
            self._counters.internal_errors_total += 1
            return RefusalError(Status.INTERNAL, internal_error(error))
        return None

    async def _refuse(self, stream: GuardedStream, refusal: RefusalError) -> None:
        """Answer a call that never opened."""
        self._counters.calls_refused_total += 1
        self._count(refusal.status)
        headers = [(":status", str(refusal.http_status)), ("content-type", CONTENT_TYPE)]
        await send_end(
            stream, headers, refusal.status, refusal.message, refusal.trailers, malformed=refusal.malformed
        )

    def crashed(self, error: BaseException) -> None:
        """A call's task ended by an error that `_outcome` did not see: sending its end failed."""
        self._counters.internal_errors_total += 1
        internal_error(error)

    def _count(self, status: Status) -> None:
        by_status = self._counters.streams_by_status
        by_status[status.name] = by_status.get(status.name, 0) + 1

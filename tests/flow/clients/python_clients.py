"""Three Python clients behind one face: grpcio, its asyncio side, and grpclib with the betterproto2 stubs.

The tests of this folder ask each of them the same things. `unary` makes the calls of an `End` one after the
other and tells how the last one ended; `stream` puts them on one SendMessageStream.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Self

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpclib.client import Channel
from grpclib.exceptions import GRPCError

from smsproxy.rpc.gen.sms.v1 import SmsRequest, SmsServiceStub
from tests.flow.ends import End, Met, reason_in
from tests.flow.kit import M

SERVICE = "/sms.v1.SmsService/"
_COMPRESSION = {"": grpc.Compression.NoCompression, "deflate": grpc.Compression.Deflate}


class PythonClient(ABC):
    """One connection to the daemon."""

    @abstractmethod
    def __init__(self, target: str) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abstractmethod
    async def unary(self, end: End) -> Met:
        """How the last of the calls ended."""

    async def stream(self, end: End) -> Met:
        return await self._stream(end, end.asked(), [])

    async def campaign(self, end: End, requests: list[dict[str, Any]]) -> list[tuple[str, str]]:
        """(transaction_id, status) of every answer."""
        answers: list[Any] = []
        met = await self._stream(end, requests, answers)
        assert met.code == "OK", (met.code, met.text, met.reason, len(answers))
        return [(answer.transaction_id, answer.status) for answer in answers]

    @abstractmethod
    async def _stream(self, end: End, requests: Sequence[Any], answers: list[Any]) -> Met:
        """Put what is answered into `answers`, also when the stream ends with an error."""


# -- grpcio --------------------------------------------------------------------------------------------------


class Sync(PythonClient):
    """grpcio as most programs have it: its own threads, a blocking call. Run beside the loop."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])

    async def __aexit__(self, *_: object) -> None:
        self._channel.close()

    async def unary(self, end: End) -> Met:
        return await asyncio.to_thread(self._unary, end)

    async def _stream(self, end: End, requests: Sequence[Any], answers: list[Any]) -> Met:
        return await asyncio.to_thread(self._blocking_stream, end, requests, answers)

    def _unary(self, end: End) -> Met:
        call = self._channel.unary_unary(SERVICE + "SendMessage", _octets, M["SmsResponse"].FromString)
        for request in _paced(end, end.asked()):
            try:
                met = _met([call(request, **_grpcio_options(end))])
            except grpc.RpcError as error:
                met = _met_error(error, [])
        return met

    def _blocking_stream(self, end: End, requests: Sequence[Any], answers: list[Any]) -> Met:
        name = SERVICE + "SendMessageStream"
        call = self._channel.stream_stream(name, _octets, M["SmsResponse"].FromString)
        try:
            answers.extend(call(_paced(end, requests), **_grpcio_options(end)))
        except grpc.RpcError as error:
            return _met_error(error, answers)
        return _met(answers)


class Aio(PythonClient):
    """grpcio's asyncio side."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def unary(self, end: End) -> Met:
        call = self._channel.unary_unary(SERVICE + "SendMessage", _octets, M["SmsResponse"].FromString)
        async for request in _paced_aio(end, end.asked()):
            try:
                met = _met([await call(request, **_grpcio_options(end))])
            except grpc.RpcError as error:
                met = _met_error(error, [])
        return met

    async def _stream(self, end: End, requests: Sequence[Any], answers: list[Any]) -> Met:
        name = SERVICE + "SendMessageStream"
        call = self._channel.stream_stream(name, _octets, M["SmsResponse"].FromString)
        keep = answers.append  # one by one: an error comes after some
        try:
            async for answer in call(_paced_aio(end, requests), **_grpcio_options(end)):
                keep(answer)
        except grpc.RpcError as error:
            return _met_error(error, answers)
        return _met(answers)


def _paced(end: End, requests: Sequence[Any]) -> Iterator[Any]:
    """Each at once, but the last at its time."""
    for place, request in enumerate(requests, 1):
        if place == len(requests):
            time.sleep(end.waits_s)
        yield request


async def _paced_aio(end: End, requests: Sequence[Any]) -> AsyncIterator[Any]:
    for place, request in enumerate(requests, 1):
        if place == len(requests):
            await asyncio.sleep(end.waits_s)
        yield request


def _octets(request: dict[str, Any] | bytes) -> bytes:
    return request if isinstance(request, bytes) else bytes(M["SmsRequest"](**request).SerializeToString())


def _grpcio_options(end: End) -> dict[str, Any]:
    metadata = tuple(end.metadata.items())
    compression = _COMPRESSION[end.compression]
    return {"metadata": metadata, "timeout": end.deadline_s, "compression": compression}


def _met(answers: list[Any]) -> Met:
    return Met("OK", [(answer.status, answer.error) for answer in answers])


def _met_error(error: Any, answers: list[Any]) -> Met:
    trailers = dict(error.trailing_metadata() or ())
    return Met(
        error.code().name,
        _met(answers).answers,
        error.details() or "",
        reason_in(trailers.get("grpc-status-details-bin", b"")),
        int(trailers.get("retry-after-ms", 0)),
    )


# -- grpclib -------------------------------------------------------------------------------------------------


class _Octets(SmsRequest):
    """Octets, in `message` as Latin-1, that no generated class would write."""

    def _as_they_are(self) -> bytes:
        return self.message.encode("latin-1")

    SerializeToString = _as_they_are


class Grpclib(PythonClient):
    """grpclib, with the stubs that betterproto2 generates."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._channel = Channel(host, int(port))
        self._stub = SmsServiceStub(self._channel)

    async def __aexit__(self, *_: object) -> None:
        self._channel.close()

    async def unary(self, end: End) -> Met:
        async for request in _paced_aio(end, end.asked()):
            try:
                met = _met([await self._stub.send_message(_message(request), **_grpclib_options(end))])
            except (GRPCError, TimeoutError) as error:
                met = _met_grpclib(error, [])
        return met

    async def _stream(self, end: End, requests: Sequence[Any], answers: list[Any]) -> Met:
        messages = _paced_aio(end, [_message(request) for request in requests])
        keep = answers.append  # one by one: an error comes after some
        try:
            async for answer in self._stub.send_message_stream(messages, **_grpclib_options(end)):
                keep(answer)
        except (GRPCError, TimeoutError) as error:
            return _met_grpclib(error, answers)
        return _met(answers)


def _message(request: dict[str, Any] | bytes) -> SmsRequest:
    return _Octets(message=request.decode("latin-1")) if isinstance(request, bytes) else SmsRequest(**request)


def _grpclib_options(end: End) -> dict[str, Any]:
    return {"metadata": end.metadata, "timeout": end.deadline_s}


def _met_grpclib(error: GRPCError | TimeoutError, answers: list[Any]) -> Met:
    if isinstance(error, TimeoutError):  # grpclib's own end of a deadline
        return Met("DEADLINE_EXCEEDED", _met(answers).answers)
    reason, wait_ms = "", 0  # grpclib shows no trailers with an error, but the same in its details
    for detail in error.details or ():
        if isinstance(detail, error_details_pb2.ErrorInfo):
            reason = detail.reason
        elif isinstance(detail, error_details_pb2.RetryInfo):
            wait_ms = detail.retry_delay.ToMilliseconds()
    return Met(error.status.name, _met(answers).answers, error.message or "", reason, wait_ms)

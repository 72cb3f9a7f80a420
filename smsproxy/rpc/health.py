"""grpc.health.v1 for load balancers and probes; needs no token (spec §2.6).

"" and "sms.v1.SmsService" are SERVING while the gateway is ready, `link.<id>` while that link is bound. The
core has no notice of change to offer, so Watch looks every `POLL_S`; the drain ends it after its last word.
"""

from __future__ import annotations

import asyncio
from typing import cast

from grpclib.const import Status
from grpclib.health.v1.health_grpc import HealthBase
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.server import Stream

from smsproxy.pipeline.ports import Gateway
from smsproxy.rpc.call import Call
from smsproxy.rpc.descriptors import SERVICE_NAME
from smsproxy.rpc.details import Reason
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.status import DRAINING, RefusalError

POLL_S = 0.2
LINK_PREFIX = "link."
LINK_DIGITS_MAX = 18
"""More digits than any id has; int() of a caller's text stays cheap."""

ServingStatus = HealthCheckResponse.ServingStatus
HealthStream = Stream[HealthCheckRequest, HealthCheckResponse]


class HealthService(HealthBase):
    """Check and Watch over one Gateway."""

    def __init__(self, gateway: Gateway, options: RpcOptions, counters: RpcCounters) -> None:
        self._gateway = gateway
        self._options = options
        self._counters = counters
        self._watches = 0

    async def Check(self, stream: HealthStream) -> None:  # noqa: N802 - the name is grpclib's
        request = await stream.recv_message()
        status = self.status_of(request.service if request else "")
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            raise RefusalError(Status.NOT_FOUND, "unknown service", Reason.UNKNOWN_SERVICE)
        await stream.send_message(HealthCheckResponse(status=status))

    async def Watch(self, stream: HealthStream) -> None:  # noqa: N802 - the name is grpclib's
        if self._watches >= self._options.max_health_watches:
            self._counters.watches_refused_total += 1
            raise RefusalError(Status.RESOURCE_EXHAUSTED, "too many health watches")
        self._watches += 1
        try:
            await self._watch(cast(Call, stream))
        finally:
            self._watches -= 1

    async def _watch(self, call: Call) -> None:
        """Tell the status now and at every change. Raises RefusalError when the server drains."""
        request = await call.recv_message()
        drained = asyncio.Event()
        call.on_drain = drained.set
        told: ServingStatus.ValueType | None = None
        while True:
            status = HealthCheckResponse.NOT_SERVING if call.draining else self.status_of(request.service)
            if status != told:
                await call.send_message(HealthCheckResponse(status=status))
                told = status
            if call.draining:
                raise RefusalError(Status.UNAVAILABLE, DRAINING, Reason.DRAINING)
            try:
                async with asyncio.timeout(POLL_S):
                    await drained.wait()
            except TimeoutError:
                continue

    def status_of(self, service: str) -> ServingStatus.ValueType:
        """SERVICE_UNKNOWN for a name that is neither ours nor a link's."""
        serving: bool | None = None
        if service in ("", SERVICE_NAME):
            serving = self._gateway.ready
        elif service.startswith(LINK_PREFIX):
            digits = service.removeprefix(LINK_PREFIX)
            if digits.isascii() and digits.isdigit() and len(digits) <= LINK_DIGITS_MAX:
                serving = self._gateway.link_bound(int(digits))
        if serving is None:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING

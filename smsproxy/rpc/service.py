"""`sms.v1.SmsService`: who may call what, and which code serves it.

The two hot RPCs own their stream (`unary`, `stream`); the rare three are the generated methods with their
betterproto2 types. All five authenticate first: token, then scope, then the message is looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from grpclib.const import Handler as Method

from smsproxy.domain.caller import Caller
from smsproxy.pipeline.ports import Gateway
from smsproxy.rpc.access import authenticated_caller, caller_again
from smsproxy.rpc.call import Call
from smsproxy.rpc.gen.sms.v1 import (
    CheckEsmeRequest,
    CheckEsmeResponse,
    CheckTextLenRequest,
    CheckTextLenResponse,
    SmsServiceBase,
    SmsStatusRequest,
    SmsStatusResponse,
)
from smsproxy.rpc.info import status_response
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.stream import SmsStream, response_order
from smsproxy.rpc.unary import send_one

PREFIX = "/sms.v1.SmsService/"
SCOPES: dict[str, str | None] = {
    "SendMessage": "send",
    "SendMessageStream": "send",
    "CheckESME": None,
    "CheckTextLen": None,
    "SmsInfo": "read",
}

# Generated methods get their message only; the caller of the running call is here.
_caller: ContextVar[Caller] = ContextVar("smsproxy_rpc_caller")


class SmsService(SmsServiceBase):
    """The five RPCs over one Gateway."""

    def __init__(self, gateway: Gateway, options: RpcOptions, counters: RpcCounters) -> None:
        self._gateway = gateway
        self._options = options
        self._counters = counters

    async def send_message_call(self, call: Call) -> None:
        caller = await self._authenticate(call, SCOPES["SendMessage"])
        await send_one(call, self._gateway, caller, self._counters)

    async def send_message_stream_call(self, call: Call) -> None:
        scope = SCOPES["SendMessageStream"]
        caller = await self._authenticate(call, scope)

        def again() -> Caller:
            return caller_again(self._gateway, call, scope)

        ordered = response_order(call.only("x-response-order"))
        await call.send_initial_metadata()
        stream = SmsStream(call, self._gateway, caller, again, self._options, self._counters, ordered=ordered)
        await stream.run()

    async def check_esme(self, message: CheckEsmeRequest) -> CheckEsmeResponse:
        persist, system_id = self._gateway.link_status(_caller.get(), message.esme)
        return CheckEsmeResponse(persist=persist, system_id=system_id)

    async def check_text_len(self, message: CheckTextLenRequest) -> CheckTextLenResponse:
        measure = self._gateway.measure(_caller.get(), message.esme, message.text)
        return CheckTextLenResponse(
            error=measure.error,
            encode=measure.alphabet,
            symbols=measure.symbols,
            parts=measure.parts,
            units=measure.units,
        )

    async def sms_info(self, message: SmsStatusRequest) -> SmsStatusResponse:
        record = await self._gateway.message_info(_caller.get(), message.esme, message.message_id)
        return status_response(record)

    def __mapping__(self) -> dict[str, Method]:
        """The generated table, each method behind authentication, the hot two replaced by their own code."""
        served: dict[str, Method] = {}
        for path, method in super().__mapping__().items():
            scope = SCOPES[path.removeprefix(PREFIX)]
            served[path] = method._replace(func=self._behind_authentication(method.func, scope))
        for name, func in (
            ("SendMessage", self.send_message_call),
            ("SendMessageStream", self.send_message_stream_call),
        ):
            served[PREFIX + name] = served[PREFIX + name]._replace(func=func)
        return served

    def _behind_authentication(
        self, func: Callable[[Call], Awaitable[None]], scope: str | None
    ) -> Callable[[Call], Awaitable[None]]:
        async def authenticated(call: Call) -> None:
            _caller.set(await self._authenticate(call, scope))  # a call is a task, with a context of its own
            await func(call)

        return authenticated

    async def _authenticate(self, call: Call, scope: str | None) -> Caller:
        return await authenticated_caller(self._gateway, call, scope)

"""`policy.v1.ContactPolicyService`: the contact policy for those who build audiences.

One RPC, decoded and encoded by upb like the hot ones: ten thousand numbers are one message. It has a bound of
its own for the message's size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import message as protobuf
from grpclib.const import Handler as Method
from grpclib.const import Status

from smsproxy.pipeline.ports import Audience, Gateway
from smsproxy.rpc.access import authenticated_caller
from smsproxy.rpc.call import Call
from smsproxy.rpc.codec import MALFORMED
from smsproxy.rpc.descriptors import message_class
from smsproxy.rpc.details import Reason
from smsproxy.rpc.gen.policy.v1 import ContactPolicyServiceBase
from smsproxy.rpc.options import KIB
from smsproxy.rpc.status import RefusalError

SCREEN = "/policy.v1.ContactPolicyService/Screen"
SCREEN_BYTES = 240 * KIB
"""10,000 of the longest numbers are 180,000 bytes; the receive window of a stream is 256 KiB."""
SCOPE = "send"

# upb classes have their fields at run time only, so what they give is Any until it is a domain object.
_parse: Callable[[bytes], Any] = message_class("policy.v1.ScreenRequest").FromString
_response: Callable[..., Any] = message_class("policy.v1.ScreenResponse")


class ContactPolicyService(ContactPolicyServiceBase):
    """The one RPC over one Gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def screen_call(self, call: Call) -> None:
        caller = await authenticated_caller(self._gateway, call, SCOPE)
        try:
            request = _parse(await call.read_one())
        except protobuf.DecodeError:
            raise RefusalError(Status.INVALID_ARGUMENT, MALFORMED, Reason.MALFORMED_MESSAGE) from None
        audience = Audience(
            request.app_id, request.strategy, request.saddr, tuple(request.daddrs), request.reserve
        )
        verdicts = await self._gateway.screen(caller, audience)
        await call.answer_once(_response(verdicts=verdicts).SerializeToString())

    def __mapping__(self) -> dict[str, Method]:
        """The generated table, with our own code for the method."""
        served = super().__mapping__()
        served[SCREEN] = served[SCREEN]._replace(func=self.screen_call)
        return served

"""Who calls, and may they: the first thing of every RPC of ours (spec §2.6)."""

from __future__ import annotations

from grpclib.const import Status

from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import UnauthenticatedError
from smsproxy.pipeline.ports import Gateway
from smsproxy.rpc.call import Call
from smsproxy.rpc.details import Reason
from smsproxy.rpc.status import RefusalError


async def authenticated_caller(gateway: Gateway, call: Call, scope: str | None) -> Caller:
    """Raises UnauthenticatedError, and RefusalError when the caller lacks the scope."""
    return _admitted(call, await gateway.authenticate(*_credentials(call), call.address), scope)


def caller_again(gateway: Gateway, call: Call, scope: str | None) -> Caller:
    """The same for a call that is open, at once."""
    return _admitted(call, gateway.authenticate_again(*_credentials(call)), scope)


def _credentials(call: Call) -> tuple[str | None, str | None]:
    """The authorization and the app_id; None for one that is absent or given twice."""
    return call.only("authorization"), call.only("app_id")


def _admitted(call: Call, caller: Caller, scope: str | None) -> Caller:
    if caller.client_cert_required and not call.certified:
        call.stream.connection.counters.client_certs_missing_total += 1
        raise UnauthenticatedError
    if scope is not None and scope not in caller.scopes:
        raise RefusalError(Status.PERMISSION_DENIED, f"the app has no scope {scope}", Reason.SCOPE_MISSING)
    return caller

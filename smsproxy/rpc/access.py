"""Who calls, and may they: the first thing of every RPC of ours (spec §2.6)."""

from __future__ import annotations

from grpclib.const import Status

from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import UnauthenticatedError
from smsproxy.pipeline.ports import Gateway
from smsproxy.rpc.call import Call
from smsproxy.rpc.details import Reason
from smsproxy.rpc.status import RefusalError


def authenticated_caller(gateway: Gateway, call: Call, scope: str | None) -> Caller:
    """Raises UnauthenticatedError, and RefusalError when the app lacks the scope."""
    authorization, app_id = call.only("authorization"), call.only("app_id")
    if authorization is None or app_id is None:  # absent or given twice
        raise UnauthenticatedError
    caller = gateway.authenticate(authorization, app_id)
    if scope is not None and scope not in caller.scopes:
        raise RefusalError(Status.PERMISSION_DENIED, f"the app has no scope {scope}", Reason.SCOPE_MISSING)
    return caller

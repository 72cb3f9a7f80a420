"""The three pages and what they answer. Who calls: `server`.

A link that is down does not make the daemon unready: others may be bound, and a balancer that took the
instance out would lose them too. /readyz shows the links; alerts come from the metrics.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from smsproxy.http.base import HttpState
from smsproxy.obs.exposition import CONTENT_TYPE, Exposition

_NO_STORE = {"cache-control": "no-store"}  # a cached "ready" would outlive the drain


def application(state: HttpState) -> Starlette:
    """The pages over one daemon."""
    exposition = Exposition(state.collect)

    async def healthz(_request: Request) -> Response:
        """200 while the loop lives."""
        return JSONResponse({"status": "ok"}, headers=_NO_STORE)

    async def readyz(_request: Request) -> Response:
        """200 while traffic is taken, else 503 with the reason."""
        links = {str(link_id): "bound" if bound else "unbound" for link_id, bound in state.links().items()}
        if state.ready:
            return JSONResponse({"status": "ready", "links": links}, headers=_NO_STORE)
        return JSONResponse({"status": state.reason, "links": links}, status_code=503, headers=_NO_STORE)

    async def metrics(_request: Request) -> Response:
        return Response(exposition.text(), media_type=CONTENT_TYPE, headers=_NO_STORE)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )

"""The pages and what they answer. Who calls: `server`.

A link that is down does not make the daemon unready: others may be bound, and a balancer that took the
instance out would lose them too; nor does a Redis that is away, for which there is a fallback. /readyz shows
both; alerts come from the metrics.
"""

from __future__ import annotations

from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from smsproxy.http.base import HttpState, TokenGrants
from smsproxy.http.oauth import token_page
from smsproxy.obs.exposition import CONTENT_TYPE, Exposition

_NO_STORE = {"cache-control": "no-store"}  # a cached "ready" would outlive the drain


def application(state: HttpState, grants: TokenGrants | None) -> Starlette:
    """The pages over one daemon; the token endpoint when somebody gives tokens."""
    exposition = Exposition(state.collect)

    async def healthz(_request: Request) -> Response:
        """200 while the loop lives."""
        return JSONResponse({"status": "ok"}, headers=_NO_STORE)

    async def readyz(_request: Request) -> Response:
        """200 while traffic is taken, else 503 with the reason."""
        links = {str(link_id): "bound" if bound else "unbound" for link_id, bound in state.links().items()}
        page: dict[str, object] = {"status": "ready" if state.ready else state.reason, "links": links}
        services = {name: "up" if up else "away" for name, up in state.services().items()}
        if services:
            page["services"] = services
        return JSONResponse(page, status_code=200 if state.ready else 503, headers=_NO_STORE)

    async def metrics(_request: Request) -> Response:
        return Response(exposition.text(), media_type=CONTENT_TYPE, headers=_NO_STORE)

    routes = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]
    if grants is not None:
        routes.append(Route("/oauth/token", partial(token_page, grants), methods=["POST"]))
    return Starlette(routes=routes)

"""The HTTP door: /healthz, /readyz, /metrics, /oauth/token, in the daemon's own loop (spec §3, `[http]`)."""

from smsproxy.http.base import HttpState, TokenGrants
from smsproxy.http.server import HttpServer

__all__ = ["HttpServer", "HttpState", "TokenGrants"]

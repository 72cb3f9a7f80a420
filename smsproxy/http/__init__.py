"""The HTTP door: /healthz, /readyz and /metrics, in the daemon's own loop (spec §3, `[http]`)."""

from smsproxy.http.base import HttpState
from smsproxy.http.server import HttpServer

__all__ = ["HttpServer", "HttpState"]

"""A client for the daemon that a configuration describes: its address, and a short-lived token of an app."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from smsproxy.aio.loop import loop_factory
from smsproxy.auth.base import TokenIssueError
from smsproxy.auth.issue import issue_token
from smsproxy.cli.failures import failed, one_line_errors
from smsproxy.cli.options import NO_TLS_OPTIONS, TlsOptions
from smsproxy.cli.tls import client_tls
from smsproxy.client import ClientError, ClientOptions, SmsClient
from smsproxy.domain.endpoint import Endpoint
from smsproxy.settings import AppSettings, Settings

TOKEN_TTL_S = 300.0
"""Long enough for any call; a stream asks for a fresh token each time it is opened."""

T = TypeVar("T")


def dial_address(listen: Endpoint) -> str:
    """Where to reach what listens on `listen`. Raises CommandError for a port that only the daemon knows."""
    if listen.unix_path:
        return f"unix:{listen.unix_path}"
    if not listen.port:
        raise failed("the configuration lets the system choose the port: name the daemon with --address")
    if ":" in listen.host:
        return f"[{_reachable(listen.host, '::1')}]:{listen.port}"
    return f"{_reachable(listen.host, '127.0.0.1')}:{listen.port}"


def _reachable(host: str, loopback: str) -> str:
    """Who listens on every address is found on the loopback one."""
    try:
        return loopback if ipaddress.ip_address(host).is_unspecified else host
    except ValueError:  # a name
        return host


def client_for(
    settings: Settings,
    app_id: int,
    app: AppSettings,
    address: str | None = None,
    options: ClientOptions | None = None,
    tls: TlsOptions = NO_TLS_OPTIONS,
) -> SmsClient:
    """Calls as `app`. Raises CommandError for an address that is none and for TLS files that do not do."""
    target = address or dial_address(settings.server.address)
    context = client_tls(settings.server.tls_cert_file, tls)

    def token() -> str:
        return issue_token(app, app_id, TOKEN_TTL_S, time.time())

    try:
        return SmsClient(target, token, app_id, options=options, tls=context)
    except ValueError as error:
        raise failed(f"--address: {error}") from None


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; the client's errors end the command with one line."""
    with (
        one_line_errors((ClientError, TokenIssueError)),
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.get_loop().set_exception_handler(_tell)
        return runner.run(work)


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a transport meets (a port that speaks no gRPC, say) is told in one line by the call it ends."""
    if "transport" not in context:
        loop.default_exception_handler(context)

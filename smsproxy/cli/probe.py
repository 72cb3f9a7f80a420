"""`smsproxy probe`: whether a link or pool can submit now, as an exit code for monitoring."""

from __future__ import annotations

from pathlib import Path

import click

from smsproxy.cli.daemon import client_for, run_async
from smsproxy.cli.failures import SAID_NO, failed
from smsproxy.cli.options import (
    TlsOptions,
    address_option,
    app_of,
    app_option,
    config_option,
    json_option,
    settings_of,
    tls_options,
)
from smsproxy.cli.output import emit, show_status
from smsproxy.client import ClientOptions, EsmeState, SmsClient
from smsproxy.settings import AppSettings, Settings


@click.command(epilog="Exit codes: 0 bound; 1 not bound; 2 unreachable or misconfigured.")
@config_option
@click.option("--esme", type=click.IntRange(min=1), required=True, metavar="ID", help="Link or pool.")
@app_option
@address_option
@tls_options
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.05, 600), default=5.0, show_default=True,
              metavar="S", help="Longest wait for the daemon, in seconds.")  # fmt: skip
@json_option
@click.pass_context
def probe(
    ctx: click.Context,
    config: Path | None,
    esme: int,
    app_id: int | None,
    address: str | None,
    tls: TlsOptions,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Tell whether a link or pool can submit now.

    Without --app it calls as the first app that has a secret and may use the link.
    """
    settings = settings_of(config)
    number, app = _prober(settings, esme) if app_id is None else app_of(settings, app_id)
    options = ClientOptions(timeout_s=timeout_s, connect_timeout_s=timeout_s)
    state = run_async(_ask(client_for(settings, number, app, address, options, tls), esme))
    word = "bound" if state.persist else "not bound"
    if as_json:
        emit({"esme": esme, "bound": state.persist, "system_id": state.system_id})
    else:
        show_status(word, [("esme", esme), ("system_id", state.system_id)])
    if not state.persist:
        ctx.exit(SAID_NO)


async def _ask(client: SmsClient, esme: int) -> EsmeState:
    async with client:
        return await client.check_esme(esme)


def _prober(settings: Settings, esme: int) -> tuple[int, AppSettings]:
    for number, app in settings.apps.items():
        if app.secrets and (not app.esmes or esme in app.esmes):
            return number, app
    raise failed(f"no app of the configuration has a secret and may use esme {esme}")

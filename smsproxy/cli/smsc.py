"""`smsproxy smsc`: the SMSC simulator in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from smsproxy.aio.loop import loop_factory
from smsproxy.cli.failures import failed, one_line_errors
from smsproxy.cli.options import config_option, settings_of
from smsproxy.simulator.hints import HINTS
from smsproxy.simulator.run import run_simulator
from smsproxy.simulator.script import Script
from smsproxy.simulator.script_file import ScriptError, load_script

HOST = "127.0.0.1"
PORT = 2775
"""SMPP's registered port."""


HELP = """Run a local SMSC simulator.

It takes any system_id and password, answers at once, and sends a DELIVRD receipt for each segment that asks
for one. A script (TOML) makes it slow, refusing, silent or wrong; without one, some recipients do, by the end
of their number:

\b
""" + "\n".join(f"  {hint.suffix}  {hint.words}" for hint in HINTS) + """

It prints a line for each event, until Ctrl-C or SIGTERM.
"""  # fmt: skip


@click.command(help=HELP, epilog="Exit codes: 0 stopped; 2 a wrong script, or the port is taken.")
@config_option
@click.option("--link", "link_id", type=click.IntRange(min=1), metavar="ID",
              help="Listen where this link of the configuration connects to.")  # fmt: skip
@click.option("--host", metavar="HOST", help=f"Address to listen on.  [default: {HOST}]")
@click.option("--port", type=click.IntRange(0, 65_535), metavar="PORT", help=f"[default: {PORT}; 0: any]")
@click.option(
    "--script", "script_file", type=click.Path(path_type=Path), metavar="FILE",
    help="How it behaves: answer_delay_s, receipt_delay_s, throttle_per_s, [[rules]] ...",
)  # fmt: skip
@click.option(
    "--truth", "truth_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Write every PDU to this file, a JSON object a line.",
)  # fmt: skip
def smsc(
    config: Path | None,
    link_id: int | None,
    host: str | None,
    port: int | None,
    script_file: Path | None,
    truth_file: Path | None,
) -> None:
    if link_id is not None:
        link = settings_of(config).links.get(link_id)
        if link is None:
            raise failed(f"the configuration has no link {link_id}")
        host, port = host or link.host, link.port if port is None else port
    script = Script(hints=True)
    with one_line_errors((ScriptError,)):
        if script_file is not None:
            script = load_script(script_file, script)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_run(host or HOST, PORT if port is None else port, script, truth_file))


async def _run(host: str, port: int, script: Script, truth_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await run_simulator(host, port, script, truth_file, stop, click.echo)
    except OSError as error:
        what = error.filename or f"{host}:{port}"
        raise failed(f"{what}: {error.strerror or error}") from None

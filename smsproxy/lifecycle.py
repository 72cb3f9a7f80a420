"""The life of the process: start, READY, reload at SIGHUP, drain at SIGTERM or Ctrl-C, exit (spec §9).

Talks to systemd where there is one (sd_notify; the watchdog beat comes from the loop itself, so it stops when
the loop does).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from smsproxy.app import App
from smsproxy.obs.log import get_log
from smsproxy.settings import ConfigError, Settings, load


def notify(state: str) -> None:
    """One datagram to systemd's notify socket (sd_notify(3)); without one, or with a dead one, nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # Whatever is wrong with the socket, it must neither stop the daemon nor make it wait.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(state.encode(), address)


def watchdog_interval_s() -> float:
    """Half of what systemd asks for; 5 s for the status line alone."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / 2_000_000 if usec.isdecimal() and int(usec) else 5.0


async def serve(settings: Settings, config: Path, on_ready: Callable[[App], None] = lambda _: None) -> bool:
    """Run until told to stop. True when everything in flight was finished. Raises StartError."""
    app = App(settings)
    stop = asyncio.Event()
    _on_signals(app, config, stop)
    await app.start()
    notify("READY=1")
    on_ready(app)
    beat = asyncio.create_task(_beat(app), name="watchdog")
    await stop.wait()
    notify("STOPPING=1")
    get_log("smsproxy").info("draining")
    done = await app.stop(settings.server.drain_s)
    beat.cancel()
    get_log("smsproxy").info("stopped", clean=done)
    return done


def _on_signals(app: App, config: Path, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        if stop.is_set():  # a second one means it (spec §9)
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, _reload, app, config)


def _reload(app: App, config: Path) -> None:
    """Read the file again; a bad one changes nothing and is logged, every fault of it."""
    try:
        app.reload(load(config))
    except ConfigError as error:
        for fault in error.faults:
            get_log("smsproxy").error("reload_refused", fault=str(fault))


async def _beat(app: App) -> None:
    """WATCHDOG=1 at half the interval that systemd set, with a status line beside it."""
    interval_s = watchdog_interval_s()
    while True:
        links = list(app.links.directory.links.values())
        bound = sum(link.bound for link in links)
        notify(f"WATCHDOG=1\nSTATUS={bound} of {len(links)} links bound")
        await asyncio.sleep(interval_s)

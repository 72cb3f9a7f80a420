"""`make run`: a message delivered two minutes after cloning.

Starts the SMSC simulator and the daemon with the shipped configuration, sends one message through the real
gRPC port, prints its road to DELIVERED, then stays up. Ctrl-C (or SIGTERM) ends both.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "config/smsproxy.toml"
PORTS = {44044: "the daemon's gRPC port", 8088: "its HTTP port", 2775: "the simulator's SMPP port"}
SMSPROXY = [sys.executable, "-m", "smsproxy"]
SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
START_S = 15.0
DELIVERY_S = "15"

EXAMPLE = """
Ready. Paste into another terminal (endings 0001 to 0009 of a number are special, see `smsproxy smsc --help`):

  {bin}/smsproxy send --app 1 --esme 1000 --from MYBRAND --to 998901234568 --text "Hello" --wait 10
  {bin}/smsproxy info {message_id} --app 1 --esme 1000
  {bin}/smsproxy probe --esme 100
  curl -s http://127.0.0.1:8088/readyz

  TOKEN=$({bin}/smsproxy token --app 1)
  grpcurl -plaintext -H "authorization: Bearer $TOKEN" -H 'app_id: 1' \\
    -d '{{"app_id":1,"esme":1000,"saddr":"MYBRAND","daddr":"998901234567",
         "message":"Hello from gRPC","strategy":"cp1"}}' \\
    127.0.0.1:44044 sms.v1.SmsService/SendMessage

Ctrl-C ends everything.
"""


class DemoError(Exception):
    """The text is what the user gets, in one line."""


def main() -> int:
    os.chdir(ROOT)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # also where a shell started us with SIGINT ignored
        signal.signal(number, interrupt)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        check_ports()
        processes.append(start("the simulator", ["smsc", "--port", "2775"]))
        processes.append(start("the daemon", ["run", "--config", CONFIG]))
        wait_for(44044, processes[-1], "the daemon")
        wait_until_bound(processes[-1])
        message_id = send_one()
        print(EXAMPLE.format(bin=".venv/bin", message_id=message_id), flush=True)
        return watch(processes)
    except DemoError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("\nending (messages in flight are waited for; Ctrl-C again cuts them off) ...")
        return 0
    finally:
        stop(processes)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def check_ports() -> None:
    for port, what in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise DemoError(
                    f"port {port} ({what}) is taken: {error.strerror}. Is another `make run` up?"
                ) from None


def start(what: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    print(f"starting {what} ...", flush=True)
    # A session of its own: Ctrl-C reaches only this script, which then ends them in order.
    # And without a service manager's variables: they are meant for us, if for anybody.
    environ = {name: value for name, value in os.environ.items() if name not in SYSTEMD}
    return subprocess.Popen([*SMSPROXY, *arguments], start_new_session=True, env=environ)


def wait_for(port: int, process: subprocess.Popen[bytes], what: str) -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            raise DemoError(f"{what} ended with code {process.returncode}; its words are above")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise DemoError(f"{what} does not listen on port {port} after {START_S:.0f} s")


def wait_until_bound(process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at and process.poll() is None:
        if (
            subprocess.call(
                [*SMSPROXY, "probe", "--esme", "100", "--config", CONFIG], stdout=subprocess.DEVNULL
            )
            == 0
        ):
            return
    raise DemoError("link 100 does not bind to the simulator")


def send_one() -> str:
    print("sending one message to 998901234567 through gRPC port 44044 ...", flush=True)
    done = subprocess.run(
        [*SMSPROXY, "send", "--config", CONFIG, "--app", "1", "--esme", "1000", "--from", "MYBRAND",
         "--to", "998901234567", "--text", "Hello from smsproxy", "--wait", DELIVERY_S, "--json"],
        stdout=subprocess.PIPE,
        check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or not lines:
        raise DemoError(f"the message was not delivered: {lines}")
    for line in lines:
        print(f"  {line['message_id']}  {line['status']}", flush=True)
    print("  " + " → ".join(dict.fromkeys(str(line["status"]) for line in lines)), flush=True)
    return str(lines[0]["message_id"])


def watch(processes: list[subprocess.Popen[bytes]]) -> int:
    """Until somebody says stop, or one of the two ends by itself."""
    while all(process.poll() is None for process in processes):
        time.sleep(0.2)
    raise DemoError("a process ended by itself; its words are above")


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """The daemon first, so that it can unbind. A second Ctrl-C ends everything at once."""
    try:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=35)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        for process in processes:
            process.kill()
            process.wait()
        say("cut off")


def say(line: str) -> None:
    """To a terminal that may be gone."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""The load generator, a process of its own: `python -m tests.bench.load --target 127.0.0.1:44044`.

It is a hand-made client because a Python gRPC client would be what is measured. One DATA frame per message,
as grpc-go sends; at most --window unanswered messages a stream, or, with --rate, at a fixed schedule whatever
is unanswered (openloop.py). Prints one JSON line with --json, else a few words. Exit code 0: every message
was answered with success; 1: not; 2: bad arguments or no connection.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import secrets
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import uvloop

from tests.bench.h2client import H2Connection, HeaderList
from tests.bench.messages import DEFAULT_TEXT, STREAM_PATH, UNARY_PATH, Request
from tests.bench.openloop import AnyOpenDriver, OpenStreamDriver, OpenUnaryDriver, Pace, drive
from tests.bench.streaming import Lane, StreamDriver
from tests.bench.tally import OpenLoop, Tally
from tests.bench.unary import UnaryDriver

_MAX_MESSAGES_PER_CONNECTION = 4_000_000  # keeps the answers below the 2 GiB that one connection takes
_MAX_NUMBER = 10**9  # nine digits of daddr
AnyDriver = StreamDriver | UnaryDriver


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Exits with 2 and a sentence on bad values."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description="Load for SmsService.")
    parser.add_argument("--target", required=True, help="host:port")
    parser.add_argument("--path", default="", help="the method's path; default by --unary")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=4, help="over all connections")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--window", type=int, default=500, help="unanswered messages (calls) per stream")
    parser.add_argument("--per-frame", type=int, default=1, help="messages in one DATA frame of a stream")
    parser.add_argument(
        "--rate", type=float, default=0, help="messages/s, open loop: latency counts from when each is due"
    )
    parser.add_argument(
        "--unary", action="store_true", help="SendMessage calls, streams x window of them open"
    )
    parser.add_argument("--token", default="", help="the JWT; a file with @FILE")
    parser.add_argument("--app-id", type=int, default=1)
    parser.add_argument("--esme", type=int, default=100)
    parser.add_argument("--saddr", default="BENCH")
    parser.add_argument("--text", default=DEFAULT_TEXT)
    parser.add_argument("--strategy", default="")
    parser.add_argument(
        "--transaction-ids", action="store_true", help="a unique transaction_id in every request"
    )
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first message: its daddr follows from it"
    )
    parser.add_argument("--tls-ca", type=Path, help="TLS, trusting this file")
    parser.add_argument(
        "--tick-ms", type=float, default=1.0, help="rest between two reads of a connection; 0 = none"
    )
    parser.add_argument("--timeout-s", type=float, default=120.0, help="bound of the whole run")
    parser.add_argument("--every-s", type=float, default=0, help="with --rate: a JSON line of each so many s")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    if not 1 <= args.connections <= args.streams <= args.messages:
        parser.error("wanted: 1 <= connections <= streams <= messages")
    if args.every_s < 0 or (args.every_s and not args.rate):
        parser.error("wanted: every-s >= 0, and none without --rate")
    if args.per_frame < 1 or (args.unary and args.per_frame > 1):
        parser.error("wanted: per-frame >= 1, and 1 with --unary")
    if args.messages > args.connections * _MAX_MESSAGES_PER_CONNECTION:
        parser.error(f"at most {_MAX_MESSAGES_PER_CONNECTION} messages per connection")
    if args.window < 1 or args.rate < 0 or args.first < 0 or args.first + args.messages > _MAX_NUMBER:
        parser.error("wanted: window >= 1, rate >= 0, 0 <= first, first + messages <= 10^9")
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the load and print the report. Returns the exit code."""
    args = arguments(argv)
    gc.disable()  # the run makes no cycles; a collection would only blur the latencies
    try:
        tally = uvloop.run(run_load(args))
    except OSError as error:
        print(f"no connection to {args.target}: {error}", file=sys.stderr)
        return 2
    report = tally.as_json()
    print(json.dumps(report) if args.json else _in_words(report), flush=True)
    return 0 if tally.succeeded == tally.messages and not tally.problems else 1


async def run_load(args: argparse.Namespace) -> Tally:
    """Connect, drive every message, wait for the last stream's end or --timeout-s. Raises OSError."""
    tally = Tally(args.messages, OpenLoop(args.rate) if args.rate else None)
    done = asyncio.Event()
    waiting = args.connections

    def finished() -> None:
        nonlocal waiting
        waiting -= 1
        if not waiting:
            tally.finished()
            done.set()

    paced = _open_drivers(args, tally.open, tally, finished) if tally.open else []
    drivers = paced or _drivers(args, tally, finished)
    connections = [await _connect(args, driver) for driver in drivers]
    telling = asyncio.create_task(tell(tally, args.every_s)) if args.every_s else None
    try:
        async with asyncio.timeout(args.timeout_s):
            await (drive(paced, tally, done) if paced else done.wait())
    except TimeoutError:
        tally.finished()
        tally.problem(f"no end within {args.timeout_s} s")
    if telling is not None and tally.open is not None:
        telling.cancel()
        tally.open.end_intervals()
    for connection in connections:
        connection.close()
    return tally


async def tell(tally: Tally, every_s: float) -> None:
    """One JSON line of each `every_s` of an open loop, until cancelled."""
    assert tally.open is not None
    answered = 0
    began = told_at = due = time.monotonic()
    while True:
        due += every_s
        await asyncio.sleep(due - time.monotonic())
        elapsed_s, told_at = time.monotonic() - told_at, time.monotonic()
        latency = tally.open.new_interval()
        line = {
            "at_s": round(told_at - began, 1),
            "answered_per_s": round((tally.answered - answered) / max(elapsed_s, 0.001), 1),
            "p50_ms": latency.percentile_ms(50),
            "p99_ms": latency.percentile_ms(99),
            "max_ms": latency.percentile_ms(100),
        }
        answered = tally.answered
        print(json.dumps(line), flush=True)


async def _connect(args: argparse.Namespace, driver: AnyDriver) -> H2Connection:
    host, _, port = args.target.rpartition(":")
    context = None
    if args.tls_ca:
        context = ssl.create_default_context(cafile=args.tls_ca)
        context.set_alpn_protocols(["h2"])
    connection = H2Connection(driver, _headers(args), args.tick_ms / 1000)
    driver.connection = connection
    await asyncio.get_running_loop().create_connection(
        lambda: connection, host.strip("[]"), int(port), ssl=context
    )
    return connection


def _headers(args: argparse.Namespace) -> HeaderList:
    token = Path(args.token[1:]).read_text().strip() if args.token.startswith("@") else args.token
    headers = [
        (":method", "POST"),
        (":scheme", "https" if args.tls_ca else "http"),
        (":path", args.path or (UNARY_PATH if args.unary else STREAM_PATH)),
        (":authority", args.target),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "smsproxy-bench"),
        ("app_id", str(args.app_id)),
    ]
    return headers + ([("authorization", f"Bearer {token}")] if token else [])


def _request(args: argparse.Namespace) -> Request:
    return Request(
        app_id=args.app_id,
        esme=args.esme,
        saddr=args.saddr,
        text=args.text,
        strategy=args.strategy,
        transaction_ids=args.transaction_ids,
        per_frame=args.per_frame,
        run_id=secrets.token_hex(4),
    )


def _drivers(args: argparse.Namespace, tally: Tally, finished: Callable[[], None]) -> Sequence[AnyDriver]:
    request = _request(args)
    if args.unary:
        calls = max(1, args.streams * args.window // args.connections)
        return [
            UnaryDriver(request, first, total, calls, tally, finished)
            for first, total in _split(args.first, args.messages, args.connections)
        ]
    shares = _split(args.first, args.messages, args.streams)
    drivers: list[AnyDriver] = []
    for number in range(args.connections):
        mine = shares[number :: args.connections]
        lanes = [Lane(2 * place + 1, request, first, total) for place, (first, total) in enumerate(mine)]
        drivers.append(StreamDriver(lanes, args.window, tally, finished))
    return drivers


def _open_drivers(
    args: argparse.Namespace, open_: OpenLoop, tally: Tally, finished: Callable[[], None]
) -> Sequence[AnyOpenDriver]:
    request, connections = _request(args), args.connections
    if args.unary:
        shares = _split(args.first, args.messages, connections)
        return [
            OpenUnaryDriver(request, *share, Pace(args.rate, number, connections), open_, tally, finished)
            for number, share in enumerate(shares)
        ]
    shares = _split(args.first, args.messages, args.streams)
    drivers = []
    for number in range(connections):
        lanes = {
            Lane(2 * place + 1, request, *share): Pace(args.rate, place * connections + number, args.streams)
            for place, share in enumerate(shares[number::connections])
        }
        drivers.append(OpenStreamDriver(lanes, open_, tally, finished))
    return drivers


def _split(first: int, messages: int, shares: int) -> list[tuple[int, int]]:
    """(first number, count) of each share; counts differ by at most one."""
    edges = [messages * share // shares for share in range(shares + 1)]
    return [(first + low, high - low) for low, high in pairwise(edges)]


def _in_words(report: dict[str, object]) -> str:
    lines = [
        f"{report['succeeded']} of {report['messages']} succeeded, {report['answered']} answered, "
        f"{report['messages_per_s']} messages/s over {report['wall_s']} s",
        f"latency p50 {report['p50_ms']} ms, p99 {report['p99_ms']} ms; "
        f"load itself {report['cpu_us_per_message']} µs CPU a message",
    ]
    lines += [f"{kind}: {report[kind]}" for kind in ("failures", "problems") if report[kind]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

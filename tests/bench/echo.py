"""The yardstick: a bare grpclib server that answers each SmsRequest at once, `python -m tests.bench.echo`.

Stock grpclib as a normal user writes it: Server, its ProtoCodec (upb), its default configuration (4 MiB
receive windows), one recv_message and one send_message per message; only the loop is uvloop, as in the
product. What the pipeline reaches is given as a ratio to this. With --guarded the same service runs on our
own edge (`rpc/guard.py`: fence, buffers, flow control), which shows what that alone costs or saves. Prints
{"listening": "host:port"}, on SIGTERM its counts, and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from grpclib.const import Cardinality, Handler
from grpclib.encoding.proto import ProtoCodec
from grpclib.server import Server, Stream

from smsproxy.rpc.guard import GuardedServer
from smsproxy.rpc.options import RpcCounters, RpcOptions
from tests.bench.messages import STREAM_PATH, UNARY_PATH, message_class

_MESSAGE_ID = "0192f0c4-7a6b-7c1e-9d7b-5f1f6a2b3c4d"


class EchoService:
    """SendMessage and SendMessageStream that accept everything."""

    def __init__(self) -> None:
        self.answered = 0
        self._request = message_class("SmsRequest")
        self._response = message_class("SmsResponse")

    def __mapping__(self) -> dict[str, Handler]:
        request, response = self._request, self._response
        return {
            STREAM_PATH: Handler(self.send_message_stream, Cardinality.STREAM_STREAM, request, response),
            UNARY_PATH: Handler(self.send_message, Cardinality.UNARY_UNARY, request, response),
        }

    async def send_message_stream(self, stream: Stream[Any, Any]) -> None:
        async for request in stream:
            await stream.send_message(self._answer(request))

    async def send_message(self, stream: Stream[Any, Any]) -> None:
        await stream.send_message(self._answer(await stream.recv_message()))

    def _answer(self, request: Any) -> Any:
        self.answered += 1
        return self._response(
            success=True,
            esme=request.esme,
            transaction_id=request.transaction_id,
            message_id=_MESSAGE_ID,
            status="submitted",
            sms_ids=["1000000001"],
            task_id=request.task_id,
        )


def guarded(service: EchoService) -> GuardedServer:
    """Our own edge around the service, with its default bounds."""
    return GuardedServer([service], ProtoCodec(), RpcOptions(), RpcCounters())


async def serve(host: str, port: int, tls: ssl.SSLContext | None, *, edge: bool) -> int:
    """Serve until SIGTERM; returns the number of answers."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    service = EchoService()
    server = guarded(service) if edge else Server([service])
    listener = socket.create_server((host, port))
    await server.start(sock=listener, ssl=tls)
    print(json.dumps({"listening": f"{host}:{listener.getsockname()[1]}"}), flush=True)
    await stopped.wait()
    server.close()
    await server.wait_closed()
    return service.answered


def main() -> int:
    """Command line of the echo server."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.echo", description="Bare grpclib echo server."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 = any free one")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--guarded", action="store_true", help="behind our own edge")
    args = parser.parse_args()
    tls = None
    if args.tls_cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(args.tls_cert, args.tls_key)
        tls.set_alpn_protocols(["h2"])
    answered = uvloop.run(serve(args.host, args.port, tls, edge=args.guarded))
    print(json.dumps({"answered": answered, "cpu_s": round(time.process_time(), 3)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Fixtures of the gRPC edge: a scripted core behind a real server, the API as a foreign user builds it."""

from __future__ import annotations

import importlib
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_edge_kit import METADATA, FakeGateway, RawClient
from grpc_tools import protoc

from smsproxy.rpc.options import RpcOptions
from smsproxy.rpc.server import RpcServer

PROTOS = Path(__file__).resolve().parents[3] / "protos"


@dataclass
class Api:
    """`sms_pb2` and `sms_pb2_grpc` as protoc gives them to any user, in the default pool."""

    pb: Any
    stubs: Any

    def request(self, **fields: object) -> Any:
        full = {"app_id": 1, "esme": 100, "saddr": "BRAND", "daddr": "998901234567", "message": "hi"}
        return self.pb.SmsRequest(**(full | fields))


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    out = tmp_path_factory.mktemp("user_api")
    arguments = ["protoc", f"-I{PROTOS}", f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main([*arguments, str(PROTOS / "sms/v1/sms.proto")]) == 0
    sys.path.insert(0, str(out))
    try:
        pb = importlib.import_module("sms.v1.sms_pb2")
        stubs = importlib.import_module("sms.v1.sms_pb2_grpc")
    finally:
        sys.path.remove(str(out))
    return Api(pb, stubs)


@pytest.fixture
async def gateway() -> FakeGateway:
    return FakeGateway()


Start = Callable[..., Awaitable[RpcServer]]


@pytest.fixture
async def start(gateway: FakeGateway) -> AsyncIterator[Start]:
    """Starts servers with options of the test; all are closed after it."""
    servers: list[RpcServer] = []

    async def run(
        listen: str = "127.0.0.1:0", tls: ssl.SSLContext | None = None, **options: Any
    ) -> RpcServer:
        # Tests ping to know that what they sent was handled: that is no strike, unless it is what they test.
        server = RpcServer(gateway, RpcOptions(**{"ping_interval_s": 0.0, **options}))
        await server.start(listen, tls)
        servers.append(server)
        return server

    yield run
    for server in servers:
        await server.close()


@pytest.fixture
async def server(start: Start) -> RpcServer:
    return await start()


@pytest.fixture
async def raw(server: RpcServer) -> RawClient:
    return await RawClient.connect(server.port)


@pytest.fixture(autouse=True)
async def no_client_left() -> AsyncIterator[None]:
    """Closes every raw client of the test, also of one that failed."""
    yield
    while RawClient.opened:
        await RawClient.opened.pop().aclose()


@pytest.fixture
async def channel(server: RpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        yield opened


class Caller:
    """A grpcio stub that always sends the good token."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub

    def __getattr__(self, rpc: str) -> Callable[..., Any]:
        method = getattr(self.stub, rpc)

        def call(*arguments: Any, **options: Any) -> Any:
            options.setdefault("metadata", METADATA)
            options.setdefault("timeout", 10)
            return method(*arguments, **options)

        return call


@pytest.fixture
async def client(channel: grpc.aio.Channel, api: Api) -> Caller:
    return Caller(api.stubs.SmsServiceStub(channel))

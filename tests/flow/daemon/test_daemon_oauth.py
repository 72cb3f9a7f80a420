"""Clients that get their tokens the usual way: OAuth 2.0 client_credentials over HTTP, then gRPC."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest

from tests.flow.kit import ROOT, SECRET, Client, Config, Daemon, M, Smsc, running, sms

OTHER_SECRET = "the-secret-that-came-after-the-first-one"


@pytest.fixture
def smsc(tmp_path: Path) -> Iterator[Smsc]:
    with running(Smsc(tmp_path / "smsc", {})) as smsc:
        yield smsc


@pytest.fixture
def listen() -> str:
    """An address for the HTTP listener: a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def ask(listen: str, secret: str = SECRET, **more: str) -> tuple[int, dict[str, Any]]:
    """One token request: status and JSON."""
    form = {"grant_type": "client_credentials", "client_id": "1", "client_secret": secret, **more}
    try:
        with urllib.request.urlopen(f"http://{listen}/oauth/token", urlencode(form).encode()) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def token_of(listen: str, secret: str = SECRET, **more: str) -> str:
    status, told = ask(listen, secret, **more)
    assert status == 200
    return str(told["access_token"])


def code_of(client: Client, method: str, request: Any, response: str) -> grpc.StatusCode:
    try:
        client.unary(method, request, response)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def codes(client: Client) -> tuple[grpc.StatusCode, grpc.StatusCode]:
    """What SendMessage and SmsInfo end with."""
    info = M["SmsStatusRequest"](esme=100, message_id="x")
    return code_of(client, "SendMessage", sms(), "SmsResponse"), code_of(
        client, "SmsInfo", info, "SmsStatusResponse"
    )


OK, DENIED = grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED
NOBODY = grpc.StatusCode.UNAUTHENTICATED


def test_a_client_fetches_its_token_sends_fetches_another_and_is_revoked(
    tmp_path: Path, smsc: Smsc, listen: str
) -> None:
    config = Config(tmp_path, smsc.port, {"http": {"listen": listen}})
    with running(Daemon(config.write())) as daemon:
        daemon.wait_bound()
        first = token_of(listen)
        with Client(daemon.target, bearer=first) as client:
            assert codes(client) == (OK, OK)
            client.metadata[0] = ("authorization", f"Bearer {token_of(listen)}")  # refreshed
            assert [one.status for one in client.stream([sms(), sms()])] == ["submitted"] * 2
            for scope, ends in {"send": (OK, DENIED), "read": (DENIED, OK), "send read": (OK, OK)}.items():
                client.metadata[0] = ("authorization", f"Bearer {token_of(listen, scope=scope)}")
                assert codes(client) == ends
            config.tables["apps.1"] = {"secret": OTHER_SECRET}
            config.write()
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_line('"event": "reloaded"')
            client.metadata[0] = ("authorization", f"Bearer {first}")
            assert codes(client) == (NOBODY, NOBODY)
            assert ask(listen)[1]["error"] == "invalid_client"
            client.metadata[0] = ("authorization", f"Bearer {token_of(listen, OTHER_SECRET)}")
            assert codes(client) == (OK, OK)
        output = "\n".join(daemon.lines)
        assert '"event": "token_refused"' in output
        for planted in (first, SECRET, OTHER_SECRET):
            assert planted not in output


def test_basic_credentials_get_a_token_and_metrics_count_them(
    tmp_path: Path, smsc: Smsc, listen: str
) -> None:
    config = Config(tmp_path, smsc.port, {"http": {"listen": listen}}).write()
    with running(Daemon(config)) as daemon:
        credentials = base64.b64encode(f"1:{SECRET}".encode()).decode()
        request = urllib.request.Request(
            f"http://{listen}/oauth/token",
            b"grant_type=client_credentials&scope=read",
            {"authorization": f"Basic {credentials}"},
        )
        with urllib.request.urlopen(request) as answer:
            made = json.load(answer)["access_token"]
        with Client(daemon.target, bearer=made) as client:
            assert codes(client) == (DENIED, OK)
        assert ask(listen, "wrong")[0] == 401
        with urllib.request.urlopen(f"http://{listen}/metrics") as page:
            metrics = page.read().decode()
    assert "smsproxy_tokens_granted_total 1.0" in metrics
    assert 'smsproxy_token_requests_refused_total{error="invalid_client"} 1.0' in metrics


def test_the_curl_example_of_the_readme_gets_a_token(tmp_path: Path, smsc: Smsc, listen: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    (example,) = re.findall(
        r"```sh\n(curl .*?/oauth/token)\n```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    shipped = re.findall(r'^secret = "(.*)"$', (ROOT / "config/smsproxy.toml").read_text(), re.MULTILINE)
    config = Config(tmp_path, smsc.port, {"http": {"listen": listen}, "apps.1": {"secret": shipped[0]}})
    with running(Daemon(config.write())) as daemon:
        command = example.replace("127.0.0.1:8088", listen)
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30)
        with Client(daemon.target, bearer=json.loads(done.stdout)["access_token"]) as client:
            assert codes(client)[1] is OK

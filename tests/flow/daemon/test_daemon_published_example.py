"""The published grpcurl example (spec §2.6) as it stands in the README, made the way grpcurl makes it.

grpcurl asks the server for the descriptors of the method (reflection v1, else v1alpha), turns the JSON into a
message by them, and calls. This does the same with grpcio and no proto file, against the shipped
configuration.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpclib.reflection.v1 import reflection_pb2 as v1
from grpclib.reflection.v1alpha import reflection_pb2 as v1alpha

from tests.flow.kit import ROOT, SMSPROXY, Daemon, Smsc, running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The shipped configuration;

    only ports and the store's place are changed, so that tests do not collide.
    """
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(ROOT / "config", folder / "config")
    with running(Smsc(folder, {})) as smsc:
        _replace(folder / "config/smsproxy.toml", "127.0.0.1:44044", "127.0.0.1:0")
        _replace(folder / "config/smsproxy.toml", "127.0.0.1:8088", "127.0.0.1:0")
        _replace(folder / "config/links.toml", "port = 2775", f"port = {smsc.port}")
        with running(Daemon(folder / "config/smsproxy.toml")) as daemon:
            daemon.wait_bound()
            yield daemon


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _example() -> tuple[dict[str, str], str, str]:
    """(headers, JSON, method) of the first grpcurl command in the README."""
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"^grpcurl (.*?[^\\])$", readme, re.MULTILINE | re.DOTALL)
    assert command is not None
    words = shlex.split(command[1].replace("\\\n", " "))
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    assert words[-2] == "127.0.0.1:44044"
    return headers, words[words.index("-d") + 1], words[-1]


def _token() -> str:
    command = [*SMSPROXY, "token", "--app", "1", "--config", "config/smsproxy.toml"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("version", [v1, v1alpha], ids=["v1", "v1alpha"])
def test_the_published_grpcurl_example_works_as_it_stands(daemon: Daemon, version: Any) -> None:
    headers, body, method = _example()
    assert headers == {"authorization": "Bearer $TOKEN", "app_id": "1"}
    service, name = method.rsplit("/", 1)
    metadata = [("authorization", f"Bearer {_token()}"), ("app_id", headers["app_id"])]
    with grpc.insecure_channel(daemon.target) as channel:
        pool = _reflect(channel, version, service)
        described = pool.FindServiceByName(service).FindMethodByName(name)
        request = json_format.Parse(body, message_factory.GetMessageClass(described.input_type)())
        call = channel.unary_unary(
            f"/{method}",
            type(request).SerializeToString,
            message_factory.GetMessageClass(described.output_type).FromString,
        )
        first = call(request, metadata=metadata, timeout=10)
        assert first.status in ("submitted", "daily_cp")  # cp1: one a day, whichever version came first
        assert call(request, metadata=metadata, timeout=10).status == "daily_cp"


@pytest.mark.parametrize("version", [v1, v1alpha], ids=["v1", "v1alpha"])
def test_reflection_lists_the_service_with_its_five_methods(daemon: Daemon, version: Any) -> None:
    with grpc.insecure_channel(daemon.target) as channel:
        service = _reflect(channel, version, "sms.v1.SmsService").FindServiceByName("sms.v1.SmsService")
    assert sorted(method.name for method in service.methods) == [
        "CheckESME", "CheckTextLen", "SendMessage", "SendMessageStream", "SmsInfo",
    ]  # fmt: skip


def _reflect(channel: grpc.Channel, version: Any, symbol: str) -> descriptor_pool.DescriptorPool:
    """A pool of everything the server knows about `symbol`."""
    package = version.DESCRIPTOR.package
    call = channel.stream_stream(
        f"/{package}.ServerReflection/ServerReflectionInfo",
        version.ServerReflectionRequest.SerializeToString,
        version.ServerReflectionResponse.FromString,
    )
    (answer,) = call(iter([version.ServerReflectionRequest(file_containing_symbol=symbol)]), timeout=10)
    pool = descriptor_pool.DescriptorPool()
    for data in answer.file_descriptor_response.file_descriptor_proto:
        pool.Add(descriptor_pb2.FileDescriptorProto.FromString(data))
    return pool

"""Every end of spec §2.1 and a campaign on a stream, met by @grpc/grpc-js."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_tools import MODULES, NODE, missing

from tests.flow.ends import (
    ENDS,
    End,
    Met,
    campaign,
    every_end,
    judge_campaign,
    judge_stream,
    judge_unary,
    reason_in,
    token_ends_inside,
)
from tests.flow.kit import ROOT, Daemon, Process, running

MISSING = missing("@grpc/grpc-js", "@grpc/proto-loader")
pytestmark = [pytest.mark.peer, pytest.mark.skipif(bool(MISSING), reason=MISSING)]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with every_end(tmp_path_factory.mktemp("grpc_js")) as daemon:
        yield daemon


def a_case(end: End, requests: list[dict[str, Any] | bytes], *, stream: bool) -> dict[str, Any]:
    return {
        "stream": stream,
        "requests": [{"octets": one.hex()} if isinstance(one, bytes) else one for one in requests],
        "metadata": end.metadata,
        "deadline_ms": end.deadline_s * 1000,
        "compression": end.compression,
        "last_at_ms": end.last_at * 1000,
    }


def made(daemon: Daemon, folder: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How each of the calls ended, by one run of the program."""
    (folder / "cases.json").write_text(json.dumps(cases))
    options = {
        "target": daemon.target,
        "proto": str(ROOT / "protos/sms/v1/sms.proto"),
        "cases": str(folder / "cases.json"),
    }
    arguments = [str(Path(__file__).with_name("grpc_client.js")), json.dumps(options)]
    with running(Process(arguments, env={"NODE_PATH": str(MODULES)}, program=[str(NODE)])) as program:
        program.wait_count('{"event":"met"', len(cases), timeout_s=40)
        return [json.loads(line) for line in program.lines if line.startswith('{"event":"met"')]


def met_by(told: dict[str, Any]) -> Met:
    return Met(
        told["code"],
        [(status, error) for _, status, error in told["answers"]],
        told.get("text", ""),
        reason_in(bytes.fromhex(told.get("details", ""))),
        told.get("retry_after_ms", 0),
    )


@pytest.fixture(scope="module")
def meetings(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Met, Met]]:
    """Of every end: how the unary calls ended, and the stream."""
    cases = [a_case(end, end.asked(), stream=stream) for end in ENDS for stream in (False, True)]
    met = [met_by(told) for told in made(daemon, tmp_path_factory.mktemp("meetings"), cases)]
    return {end.name: (met[2 * place], met[2 * place + 1]) for place, end in enumerate(ENDS)}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_grpc_js_meets_every_end_alone_and_on_a_stream(
    meetings: dict[str, tuple[Met, Met]], end: End
) -> None:
    alone, on_stream = meetings[end.name]
    judge_unary(end, alone)
    judge_stream(end, on_stream)


@pytest.mark.long
def test_grpc_js_is_told_in_band_that_its_token_ended(daemon: Daemon, tmp_path: Path) -> None:
    end = token_ends_inside()
    cases = [a_case(end, end.asked(), stream=stream) for stream in (True, False)]
    on_stream, alone = [met_by(told) for told in made(daemon, tmp_path, cases)]
    judge_unary(end, alone)
    judge_stream(end, on_stream)
    assert on_stream.answers[0][0] == "submitted"


@pytest.mark.long
def test_grpc_js_streams_ten_thousand_messages_and_is_answered_in_order(
    daemon: Daemon, tmp_path: Path
) -> None:
    (told,) = made(daemon, tmp_path, [a_case(ENDS[0], list(campaign()), stream=True)])
    assert told["code"] == "OK"
    judge_campaign([(transaction_id, status) for transaction_id, status, _ in told["answers"]])

"""`buf curl`, a client on grpc-go-connect: by server reflection, with no proto at hand, and by protos/."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from google.rpc import error_details_pb2
from node_tools import MODULES, missing

from tests.flow.ends import (
    ENDS,
    End,
    Met,
    campaign,
    ends_but,
    every_end,
    judge_campaign,
    judge_stream,
    judge_unary,
    token_ends_inside,
)
from tests.flow.kit import ROOT, Daemon

MISSING = missing("@bufbuild/buf")
pytestmark = [pytest.mark.peer, pytest.mark.skipif(bool(MISSING), reason=MISSING)]
BY_REFLECTION: list[str] = []
BY_PROTO = ["--schema", str(ROOT / "protos")]
# It writes what the proto allows, compresses nothing, ends an overdue call by itself; and a process for each
# call is slower than the refill of a limit: that end is met on the stream.
MEETINGS = ends_but("malformed protobuf", "unknown compression", "deadline", "rate limit")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with every_end(tmp_path_factory.mktemp("buf")) as daemon:
        yield daemon


def curl(
    daemon: Daemon, schema: list[str], method: str, end: End, requests: list[Any]
) -> tuple[Met, list[dict[str, Any]]]:
    """One run: how the call ended, and the answers whole."""
    headers = [word for name, value in end.metadata.items() for word in ("-H", f"{name}: {value}")]
    command = [
        str(MODULES / ".bin/buf"), "curl", "--http2-prior-knowledge", "--protocol", "grpc", *schema,
        *headers, "-d", "@-", f"http://{daemon.target}/sms.v1.SmsService/{method}",
    ]  # fmt: skip
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("\n".join(map(json.dumps, requests[:-1])) + "\n")
        process.stdin.flush()
        time.sleep(end.waits_s)
        output, errors = process.communicate(json.dumps(requests[-1]), timeout=40)
    answers = documents(output)
    told = [(one.get("status", ""), one.get("error", "")) for one in answers]
    if process.returncode == 0:
        return Met("OK", told), answers
    error = json.loads(errors)
    return Met(error["code"].upper(), told, error.get("message", ""), *details_in(error)), answers


def documents(text: str) -> list[dict[str, Any]]:
    """JSON documents one after the other."""
    found, place, decoder = [], 0, json.JSONDecoder()
    while (place := len(text) - len(text[place:].lstrip())) < len(text):
        document, place = decoder.raw_decode(text, place)
        found.append(document)
    return found


def details_in(error: dict[str, Any]) -> tuple[str, int]:
    """The ErrorInfo's reason, and the RetryInfo's milliseconds."""
    reason, wait_ms = "", 0
    for detail in error.get("details", ()):
        octets = base64.b64decode(detail["value"] + "=" * (-len(detail["value"]) % 4))
        if detail["type"] == "google.rpc.ErrorInfo":
            reason = error_details_pb2.ErrorInfo.FromString(octets).reason
        elif detail["type"] == "google.rpc.RetryInfo":
            wait_ms = error_details_pb2.RetryInfo.FromString(octets).retry_delay.ToMilliseconds()
    return reason, wait_ms


@pytest.mark.parametrize("schema", [BY_REFLECTION, BY_PROTO], ids=["reflection", "proto"])
def test_buf_sends_a_message_and_a_stream_and_reads_a_refusal(daemon: Daemon, schema: list[str]) -> None:
    fine, bad = ENDS[0], next(end for end in ENDS if end.name == "bad field")
    judge_unary(fine, curl(daemon, schema, "SendMessage", fine, fine.asked())[0])
    judge_stream(fine, curl(daemon, schema, "SendMessageStream", fine, fine.asked())[0])
    judge_unary(bad, curl(daemon, schema, "SendMessage", bad, bad.asked())[0])


@pytest.mark.parametrize("end", MEETINGS, ids=lambda end: end.name)
def test_buf_meets_every_end_alone_and_on_a_stream(daemon: Daemon, end: End) -> None:
    for request in end.asked():
        met, _ = curl(daemon, BY_PROTO, "SendMessage", end, [request])
    judge_unary(end, met)
    judge_stream(end, curl(daemon, BY_PROTO, "SendMessageStream", end, end.asked())[0])


def test_buf_meets_the_rate_limit_on_a_stream(daemon: Daemon) -> None:
    end = next(end for end in ENDS if end.name == "rate limit")
    judge_stream(end, curl(daemon, BY_PROTO, "SendMessageStream", end, end.asked())[0])


@pytest.mark.long
def test_buf_is_told_in_band_that_its_token_ended(daemon: Daemon) -> None:
    end = token_ends_inside()
    on_stream, _ = curl(daemon, BY_PROTO, "SendMessageStream", end, end.asked())
    judge_stream(end, on_stream)
    assert on_stream.answers[0][0] == "submitted"
    judge_unary(end, curl(daemon, BY_PROTO, "SendMessage", end, end.asked()[-1:])[0])


@pytest.mark.long
@pytest.mark.parametrize("schema", [BY_REFLECTION, BY_PROTO], ids=["reflection", "proto"])
def test_buf_streams_ten_thousand_messages_and_is_answered_in_order(
    daemon: Daemon, schema: list[str]
) -> None:
    met, answers = curl(daemon, schema, "SendMessageStream", ENDS[0], campaign())
    assert met.code == "OK", met.text
    judge_campaign([(answer["transactionId"], answer["status"]) for answer in answers])

"""Rich errors: what a client library finds in the trailer, and that the docs name every reason."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from grpclib.const import Status

from smsproxy.domain.outcome import Answer
from smsproxy.domain.outcome import Status as AnswerStatus
from smsproxy.rpc.details import TRAILER, USUAL, Reason
from smsproxy.rpc.status import RefusalError, refusal_of_answer

DOCS = Path(__file__).resolve().parents[3] / "docs" / "errors.md"


def status_in(refusal: RefusalError) -> RpcStatus:
    text = dict(refusal.trailers)[TRAILER]
    return RpcStatus.FromString(base64.b64decode(text + "=" * (-len(text) % 4)))


def detail_in(refusal: RefusalError, kind: type[Message]) -> Message:
    wanted = kind()
    for each in status_in(refusal).details:
        if each.Unpack(wanted):
            return wanted
    raise LookupError(kind)


def of_answer(status: AnswerStatus, **more: object) -> RefusalError:
    refusal = refusal_of_answer(Answer(status, "t-1", **more))
    assert refusal is not None
    return refusal


def test_a_bad_field_is_named_with_its_rule() -> None:
    refusal = of_answer(AnswerStatus.INVALID, error="daddr: 3 to 15 digits: not 2")
    found = detail_in(refusal, BadRequest).field_violations
    assert [(one.field, one.description) for one in found] == [("daddr", "3 to 15 digits: not 2")]
    info = detail_in(refusal, ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "INVALID_FIELD",
        "smsproxy",
        {"transaction_id": "t-1"},
    )


def test_a_wait_is_told_twice() -> None:
    refusal = of_answer(AnswerStatus.RATE_LIMITED, retry_after_ms=61_075)
    assert ("retry-after-ms", "61075") in refusal.trailers
    delay = detail_in(refusal, RetryInfo).retry_delay
    assert (delay.seconds, delay.nanos) == (61, 75_000_000)


def test_the_status_inside_is_the_status_outside() -> None:
    status = status_in(of_answer(AnswerStatus.NO_ROUTE, error="esme: no link or pool 7"))
    assert (status.code, status.message) == (Status.NOT_FOUND.value, "esme: no link or pool 7")


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.OK])
def test_every_status_has_a_reason(status: Status) -> None:
    assert detail_in(RefusalError(status, "text"), ErrorInfo).reason in set(Reason)


def test_the_docs_name_every_reason_and_no_other() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", DOCS.read_text(), re.MULTILINE)
    assert {reason for reason, _ in rows} == {each.value for each in Reason}
    told = dict(rows)
    assert all(told[reason.value] == status.name for status, reason in USUAL.items())

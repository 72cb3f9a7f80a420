"""The table of spec §2.1, one row at a time, and the words of the small modules beside it."""

from __future__ import annotations

import pytest
from grpclib.const import Status as GrpcStatus
from structlog.testing import capture_logs

from smsproxy.domain.errors import (
    ForbiddenError,
    NotFoundError,
    ProductError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from smsproxy.domain.outcome import Answer, Status
from smsproxy.domain.record import MessageRecord, SegmentRecord, SegmentState
from smsproxy.rpc.info import not_found, status_response
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.status import UNARY_STATUS, refusal_of_answer, refusal_of_error

TABLE = {
    Status.SUBMITTED: None,
    Status.DAILY_CP: None,
    Status.WEEKLY_CP: None,
    Status.DUPLICATE: None,
    Status.BLACKLIST: None,
    Status.REJECTED: None,
    Status.UNKNOWN: None,
    Status.INVALID: "INVALID_ARGUMENT",
    Status.UNAUTHENTICATED: "UNAUTHENTICATED",
    Status.FORBIDDEN: "PERMISSION_DENIED",
    Status.NO_ROUTE: "NOT_FOUND",
    Status.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    Status.UNAVAILABLE: "UNAVAILABLE",
    Status.EXPIRED: "DEADLINE_EXCEEDED",
    Status.INTERNAL: "INTERNAL",
}


@pytest.mark.parametrize("status", Status)
def test_every_end_has_its_grpc_status(status: Status) -> None:
    refusal = refusal_of_answer(Answer(status, error="why"))
    told = None if refusal is None else refusal.status.name
    assert told == TABLE[status]
    assert refusal is None or refusal.message == "why"
    assert status in UNARY_STATUS


def test_the_wait_travels_in_a_trailer() -> None:
    refusal = refusal_of_answer(Answer(Status.RATE_LIMITED, retry_after_ms=75))
    assert refusal is not None
    assert ("retry-after-ms", "75") in refusal.trailers
    assert refusal.message == "rate_limited"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnauthenticatedError(), GrpcStatus.UNAUTHENTICATED),
        (ForbiddenError("no"), GrpcStatus.PERMISSION_DENIED),
        (NotFoundError("what"), GrpcStatus.NOT_FOUND),
        (StoreUnavailableError(), GrpcStatus.UNAVAILABLE),
    ],
)
def test_errors_of_the_core_have_their_status(error: ProductError, status: GrpcStatus) -> None:
    refusal = refusal_of_error(error)
    assert refusal.status is status
    assert refusal.message


def test_where_the_store_is_stays_in_the_log() -> None:
    refusal = refusal_of_error(StoreUnavailableError("/var/lib/smsproxy/store.db: database is locked"))
    assert refusal.message == "the record store is not available"


def test_an_unknown_error_of_the_core_is_internal_and_its_text_stays_in_the_log() -> None:
    with capture_logs() as logs:
        refusal = refusal_of_error(ProductError("the secret is 42"))
    assert refusal.status is GrpcStatus.INTERNAL
    assert refusal.message == f"internal error {logs[0]['error_id']}"


def a_record(*states: SegmentState) -> MessageRecord:
    segments = [
        SegmentRecord(
            state, smsc_id=str(at), reason="UNDELIV err:045" if at == 1 else "", updated_at=200.0 + at
        )
        for at, state in enumerate(states)
    ]
    return MessageRecord(bytes(range(16)), 1, 100, "t-1", 7, 100.9, segments)


def test_a_record_is_told_segment_by_segment() -> None:
    told = status_response(
        a_record(SegmentState.DELIVERED, SegmentState.UNDELIVERABLE, SegmentState.DELIVERED)
    )
    assert told.message_id == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert (told.mode, told.status, told.delivered_count) == ("multipart", "UNDELIVERABLE", 2)
    assert told.parts == {"1": "DELIVERED", "2": "UNDELIVERABLE", "3": "DELIVERED"}
    assert told.reasons == {"2": "UNDELIV err:045"}
    assert (told.sent_at, told.updated_at, told.transaction_id, told.task_id) == (100, 202, "t-1", 7)
    assert told.error == ""


def test_reasons_are_the_words_of_the_smsc_alone() -> None:
    record = a_record(SegmentState.REJECTED, SegmentState.NOT_SENT, SegmentState.UNKNOWN)
    words = ("ESME_RINVDSTADR", "an earlier segment was not taken", "no answer from the SMSC in time")
    for segment, reason in zip(record.segments, words, strict=True):
        segment.reason = reason
    told = status_response(record)
    assert told.parts == {"1": "REJECTED", "2": "not_sent", "3": "unknown"}
    assert told.reasons == {"1": "ESME_RINVDSTADR"}


def test_a_receipt_that_did_not_come_in_time_is_no_word_of_the_smsc() -> None:
    record = a_record(SegmentState.SUBMITTED, SegmentState.EXPIRED)
    record.receipts_expected = True
    record.segments[1].reason = "EXPIRED err:004"
    record.expire(now=1e9, receipt_timeout_s=60)
    told = status_response(record)
    assert told.parts == {"1": "EXPIRED", "2": "EXPIRED"}
    assert told.reasons == {"2": "EXPIRED err:004"}


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (SegmentState.SUBMITTING, "submitting"),
        (SegmentState.SUBMITTED, "submitted"),
        (SegmentState.UNKNOWN, "unknown"),
    ],
)
def test_a_single_record_is_told_in_one_word(state: SegmentState, word: str) -> None:
    told = status_response(a_record(state))
    assert (told.mode, told.status, told.parts) == ("single", word, {"1": word})


def test_what_was_never_written_is_not_found() -> None:
    for record in (None, a_record(), a_record(SegmentState.NOT_SENT, SegmentState.NOT_SENT)):
        assert status_response(record) == not_found()
    partly = status_response(a_record(SegmentState.REJECTED, SegmentState.NOT_SENT))
    assert partly.parts == {"1": "REJECTED", "2": "not_sent"}


def test_windows_always_hold_two_of_the_largest_message() -> None:
    assert RpcOptions().stream_window_bytes == 256 * 1024
    assert RpcOptions().connection_window_bytes == 1024 * 1024
    large = RpcOptions(max_message_bytes=1024 * 1024)
    assert large.stream_window_bytes > 2 * large.max_message_bytes
    assert large.connection_window_bytes >= large.stream_window_bytes


def test_counters_can_be_read_by_name() -> None:
    counters = RpcCounters(messages_total=3)
    assert counters.as_dict()["messages_total"] == 3

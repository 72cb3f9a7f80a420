"""From the ends of segments to the one answer (spec §2.1, §2.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_bench import FakeLink, FaultyStore, a_caller, a_message

from smsproxy.domain.outcome import Accepted, Answer, InDoubt, NotSent, Refused, SegmentOutcome, Status
from smsproxy.domain.record import SegmentState
from smsproxy.pipeline import ends, repeat
from smsproxy.pipeline.job import Job
from smsproxy.pipeline.ports import Lane

A, B = Accepted("a"), Accepted("b")
DOUBT = InDoubt("silent")
REFUSED = Refused(0x0B, "ESME_RINVDSTADR 0x0000000B")
THROTTLED = Refused(0x58, "ESME_RTHROTTLED 0x00000058", throttled=True)
UNWRITTEN = NotSent("an earlier segment was not taken")
OUTCOMES = st.sampled_from([A, B, DOUBT, REFUSED, THROTTLED, UNWRITTEN])


def answer_of(*outcomes: SegmentOutcome, recorded: bool = True) -> Answer:
    message = a_message(transaction_id="t", task_id=3)
    job = Job(message, a_caller(), Lane.STREAM, lambda tag, answer: None, 0, None, lambda job: None)
    job.link = FakeLink(FaultyStore())
    job.message_id = bytes(16)
    job.repeatable = True
    job.outcomes = list(outcomes)
    job.recorded = recorded
    return ends.answer_of(job)


@pytest.mark.parametrize(
    ("outcomes", "status", "error", "ids"),
    [
        ([A], "submitted", "", ("a",)),
        ([Accepted("")], "submitted", "", ()),
        ([A, B], "submitted", "", ("a", "b")),
        ([DOUBT], "unknown", "segment 1: silent", ()),
        ([A, DOUBT], "unknown", "segment 2: silent", ("a",)),
        ([REFUSED, DOUBT], "unknown", "segment 2: silent", ()),
        ([REFUSED], "rejected", "segment 1: ESME_RINVDSTADR 0x0000000B", ()),
        ([A, REFUSED, UNWRITTEN], "rejected", "segment 2: ESME_RINVDSTADR 0x0000000B", ("a",)),
        ([THROTTLED, UNWRITTEN], "rate_limited", "segment 1: ESME_RTHROTTLED 0x00000058", ()),
        ([THROTTLED, REFUSED], "rejected", "segment 2: ESME_RINVDSTADR 0x0000000B", ()),
        ([A, THROTTLED], "rejected", "segment 2: ESME_RTHROTTLED 0x00000058", ("a",)),
        ([A, UNWRITTEN], "rejected", "segment 2: an earlier segment was not taken", ("a",)),
    ],
)
def test_the_segments_add_up_to_one_end(
    outcomes: list[SegmentOutcome], status: str, error: str, ids: tuple[str, ...]
) -> None:
    answer = answer_of(*outcomes)
    assert (answer.status.value, answer.error, answer.smsc_ids) == (status, error, ids)
    assert (answer.retry_after_ms > 0) is (status == "rate_limited")
    assert answer.message_id == "00000000-0000-0000-0000-000000000000"
    assert (answer.route_id, answer.task_id, answer.transaction_id) == (100, 3, "t")


@given(outcomes=st.lists(OUTCOMES, min_size=1, max_size=4))
def test_submitted_means_that_all_segments_were_taken_and_a_retry_is_invited_only_if_none_was(
    outcomes: list[SegmentOutcome],
) -> None:
    answer = answer_of(*outcomes)
    assert answer.success is all(isinstance(one, Accepted) for one in outcomes)
    assert (answer.status is Status.UNKNOWN) is (DOUBT in outcomes)
    if answer.status is Status.RATE_LIMITED:
        assert not repeat.counts_as_sent(answer)


@given(outcomes=st.lists(OUTCOMES, min_size=1, max_size=4))
def test_nothing_is_told_but_unknown_while_a_result_is_not_stored(outcomes: list[SegmentOutcome]) -> None:
    assert answer_of(*outcomes, recorded=False).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("outcome", "stored"),
    [
        (A, (SegmentState.SUBMITTED, "a", "")),
        (REFUSED, (SegmentState.REJECTED, "", "ESME_RINVDSTADR")),
        (UNWRITTEN, (SegmentState.NOT_SENT, "", "an earlier segment was not taken")),
        (DOUBT, (SegmentState.UNKNOWN, "", "silent")),
    ],
)
def test_every_end_of_a_segment_has_its_state(
    outcome: SegmentOutcome, stored: tuple[SegmentState, str, str]
) -> None:
    assert ends.stored_state(outcome) == stored


def test_the_policy_keeps_counting_what_a_handset_may_have() -> None:
    kept = {status for status in Status if ends.keeps_reservation(status)}
    assert kept == {Status.SUBMITTED, Status.UNKNOWN}

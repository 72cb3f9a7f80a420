"""How a job ends: from the ends of its segments to the one answer of the request (spec §2.1, §2.4). Pure."""

from __future__ import annotations

from typing import assert_never

from smsproxy.domain.outcome import Accepted, Answer, InDoubt, NotSent, Refused, SegmentOutcome, Status
from smsproxy.domain.record import SegmentState
from smsproxy.pipeline.job import Job

_THROTTLED_RETRY_MS = 1000
"""The first pause of a throttled link (spec §6)."""
_SUBMITTED = Status.SUBMITTED
_KEPT = (Status.SUBMITTED, Status.UNKNOWN)
_ACCEPTED_STATE = SegmentState.SUBMITTED


def answer_of(job: Job) -> Answer:
    """The answer of a job whose segments have all ended."""
    outcomes = job.outcomes
    first = outcomes[0]
    if len(outcomes) == 1 and type(first) is Accepted:  # nine messages of ten
        status, error = _SUBMITTED, ""
        ids: tuple[str, ...] = (first.smsc_id,) if first.smsc_id else ()
    else:
        status, error = _verdict(outcomes)
        ids = tuple(one.smsc_id for one in outcomes if isinstance(one, Accepted) and one.smsc_id)
    if not job.recorded:
        status, error = Status.UNKNOWN, "the SMSC answered, its answer is not stored yet"
    message = job.message
    retry_after_ms = _THROTTLED_RETRY_MS if status is Status.RATE_LIMITED else 0
    return Answer(
        status,
        message.transaction_id,
        job.link.link_id,
        message.task_id,
        error,
        job.shown_id,
        ids,
        retry_after_ms,
    )


def _verdict(outcomes: list[SegmentOutcome | None]) -> tuple[Status, str]:
    """In doubt beats refused beats throttled beats not written; accepted only if all were.

    `rate_limited` invites to send again, so it is only said while the SMSC has no segment of the message.
    """
    status, error = _SUBMITTED, ""
    for number, outcome in enumerate(outcomes, 1):
        match outcome:
            case InDoubt(reason):
                return Status.UNKNOWN, f"segment {number}: {reason}"
            case Refused(throttled=True) if status is _SUBMITTED:
                status, error = Status.RATE_LIMITED, f"segment {number}: {outcome.text}"
            case Refused(throttled=False) if status is not Status.REJECTED:
                status, error = Status.REJECTED, f"segment {number}: {outcome.text}"
            case NotSent(reason) if status is _SUBMITTED:
                status, error = Status.REJECTED, f"segment {number}: {reason}"
            case _:
                pass
    if status is Status.RATE_LIMITED and any(isinstance(one, Accepted) for one in outcomes):
        status = Status.REJECTED
    return status, error


def keeps_reservation(status: Status) -> bool:
    """Whether the contact policy goes on counting a message with this end (spec §5)."""
    return status in _KEPT


def stored_state(outcome: SegmentOutcome) -> tuple[SegmentState, str, str]:
    """(state, SMSC id, reason) as the record keeps them."""
    if isinstance(outcome, Accepted):  # before the match: this one is the rule
        return _ACCEPTED_STATE, outcome.smsc_id, ""
    match outcome:
        case Refused(text=text):
            return SegmentState.REJECTED, "", text.partition(" ")[0]
        case NotSent(reason):
            return SegmentState.NOT_SENT, "", reason
        case InDoubt(reason):
            return SegmentState.UNKNOWN, "", reason
        case _:
            assert_never(outcome)


def refusal(job: Job, status: Status, error: str, *, retry_after_ms: int = 0) -> Answer:
    """The end of a job that got no record: refused by a stage, or provably not sent."""
    message = job.message
    return Answer(
        status,
        message.transaction_id,
        message.route_id,
        message.task_id,
        error,
        retry_after_ms=retry_after_ms,
    )


def expired(job: Job) -> Answer:
    """The end of a job whose deadline passed before the submission."""
    return refusal(job, Status.EXPIRED, "the deadline passed before the submission")

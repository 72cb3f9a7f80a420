"""How a job ends: from the ends of its segments to the one answer of the request (spec §2.1, §2.4). Pure."""

from __future__ import annotations

from smsproxy.domain.ids import id_text
from smsproxy.domain.outcome import Accepted, Answer, InDoubt, NotSent, Refused, SegmentOutcome, Status
from smsproxy.domain.record import SegmentState
from smsproxy.pipeline.job import Job


def answer_of(job: Job) -> Answer:
    """The answer of a job whose segments have all ended."""
    status, error = _verdict(job.outcomes)
    if not job.recorded:
        status, error = Status.UNKNOWN, "the SMSC answered, its answer is not stored yet"
    ids = tuple(one.smsc_id for one in job.outcomes if isinstance(one, Accepted))
    message = job.message
    answer = Answer(
        status,
        message.transaction_id,
        job.link.link_id if job.link else message.route_id,
        message.task_id,
        error,
        id_text(job.message_id),
        ids,
    )
    if status is Status.RATE_LIMITED:
        answer.retry_after_ms = 1000
    return answer


def _verdict(outcomes: list[SegmentOutcome | None]) -> tuple[Status, str]:
    first = outcomes[0]
    if len(outcomes) == 1 and type(first) is Accepted:
        return Status.SUBMITTED, ""
    worst: tuple[Status, str] = (Status.SUBMITTED, "")
    for number, outcome in enumerate(outcomes, 1):
        match outcome:
            case InDoubt(reason):
                return Status.UNKNOWN, f"segment {number}: {reason}"
            case Refused() if worst[0] is not Status.REJECTED:
                word = Status.RATE_LIMITED if outcome.throttled else Status.REJECTED
                worst = (word, f"segment {number}: {outcome}")
            case NotSent(reason) if worst[0] is Status.SUBMITTED:
                worst = (Status.REJECTED, f"segment {number}: {reason}")
            case _:
                pass
    return worst


def stored_state(outcome: SegmentOutcome) -> tuple[SegmentState, str, str]:
    """(state, SMSC id, reason) as the record keeps them."""
    match outcome:
        case Accepted(smsc_id):
            return SegmentState.SUBMITTED, smsc_id, ""
        case Refused(text=text):
            return SegmentState.REJECTED, "", text.partition(" ")[0]
        case NotSent(reason):
            return SegmentState.NOT_SENT, "", reason
        case InDoubt(reason):
            return SegmentState.UNKNOWN, "", reason


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

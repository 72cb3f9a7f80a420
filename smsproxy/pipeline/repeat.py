"""What an earlier send of the same request means for a repeat (spec §2.3). Pure."""

from __future__ import annotations

from smsproxy.domain.ids import id_text
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, Status
from smsproxy.domain.record import MessageRecord, SegmentRecord, SegmentState

_REFUSED = (SegmentState.REJECTED, SegmentState.NOT_SENT)
_UNDECIDED = (SegmentState.SUBMITTING, SegmentState.UNKNOWN)


def _accepted(segment: SegmentRecord) -> bool:
    """The SMSC took it. A few give no id with their ok; a state that only follows an ok tells it as well."""
    return bool(segment.smsc_id) or segment.state not in (*_REFUSED, *_UNDECIDED)


def may_try_anew(record: MessageRecord) -> bool:
    """No handset can have it: every segment was refused by the SMSC on submission, or never written."""
    return all(segment.state in _REFUSED and not segment.smsc_id for segment in record.segments)


def recorded_answer(record: MessageRecord, message: Message) -> Answer:
    """The end of then, as the record tells it. What receipts said since is SmsInfo's to tell.

    An intent without a result belongs to a process that is dead, or to another instance: in doubt for us.
    """
    status, error = Status.SUBMITTED, ""
    for number, segment in enumerate(record.segments, 1):
        if _accepted(segment):
            continue
        if segment.state in _UNDECIDED:
            status, error = Status.UNKNOWN, f"segment {number}: no answer from the SMSC is recorded"
            break
        if status is Status.SUBMITTED:
            status, error = Status.REJECTED, f"segment {number}: {segment.reason or 'not sent'}"
    return Answer(
        status,
        message.transaction_id,
        record.link_id,
        message.task_id,
        error,
        id_text(record.message_id),
        record.smsc_ids,
        repeated=True,
    )


def counts_as_sent(answer: Answer) -> bool:
    """Whether a repeat must get this end instead of a new try: a handset has it, or may have it."""
    return answer.status in (Status.SUBMITTED, Status.UNKNOWN) or bool(answer.smsc_ids)

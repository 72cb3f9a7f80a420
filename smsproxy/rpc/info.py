"""A stored record in the words of SmsStatusResponse (spec §2, §6). A plain function, no I/O."""

from __future__ import annotations

from smsproxy.domain.ids import id_text
from smsproxy.domain.record import NO_RECEIPT, STATE_WORDS, MessageRecord, SegmentState
from smsproxy.rpc.gen.sms.v1 import SmsStatusResponse

NOT_FOUND = "message not found"
_UNSAID = frozenset({SegmentState.SUBMITTING, SegmentState.NOT_SENT, SegmentState.UNKNOWN})
"""The SMSC has said nothing of such a segment; `reasons` holds its words alone (spec §2)."""


def not_found() -> SmsStatusResponse:
    """One answer for unknown, malformed, foreign and never written: nobody can probe for the difference."""
    return SmsStatusResponse(error=NOT_FOUND)


def status_response(record: MessageRecord | None) -> SmsStatusResponse:
    """What SmsInfo says of a record."""
    if record is None or not record.segments or record.status is SegmentState.NOT_SENT:
        return not_found()
    numbered = [(str(number), segment) for number, segment in enumerate(record.segments, 1)]
    return SmsStatusResponse(
        message_id=id_text(record.message_id),
        mode="multipart" if len(numbered) > 1 else "single",
        parts={number: STATE_WORDS[segment.state] for number, segment in numbered},
        delivered_count=sum(segment.state is SegmentState.DELIVERED for segment in record.segments),
        sent_at=int(record.sent_at),
        updated_at=int(record.updated_at),
        transaction_id=record.transaction_id,
        task_id=record.task_id,
        status=STATE_WORDS[record.status],
        reasons={
            number: segment.reason
            for number, segment in numbered
            if segment.reason not in ("", NO_RECEIPT) and segment.state not in _UNSAID
        },
    )

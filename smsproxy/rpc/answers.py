"""The bytes of the answer that nearly every message gets, without a protobuf object in between.

That answer is `submitted`, with one id of the SMSC and no text of 128 octets or more (their length takes more
than one octet). upb takes a call per field; here the whole is one format, for a third of the cost. Every
other answer is upb's, see `codec`; tests hold the two equal, octet for octet. Pure.
"""

from __future__ import annotations

from functools import lru_cache

from smsproxy.domain.outcome import Answer

_INT64 = (1 << 64) - 1


def usual_answer(answer: Answer) -> bytes | None:
    """The SmsResponse of an answer that is known to be `submitted`; None where upb shall write it.

    Raises ValueError when a text of the answer is not valid Unicode.
    """
    smsc_ids = answer.smsc_ids
    if len(smsc_ids) != 1 or answer.error or answer.retry_after_ms or answer.repeated:
        return None
    transaction_id = answer.transaction_id.encode()
    message_id = answer.message_id.encode()
    smsc_id = smsc_ids[0].encode()
    sizes = len(transaction_id), len(message_id), len(smsc_id)
    if not (0 < sizes[0] < 128 and 0 < sizes[1] < 128 and 0 < sizes[2] < 128):
        return None
    return b'%b"%c%b*%c%b2\x09submitted:%c%b%b' % (
        _success_and_esme(answer.route_id),
        sizes[0],
        transaction_id,
        sizes[1],
        message_id,
        sizes[2],
        smsc_id,
        _task_id(answer.task_id),
    )


@lru_cache(maxsize=1024)  # links of an instance: hundreds at most
def _success_and_esme(route_id: int) -> bytes:
    return b"\x08\x01" + (b"\x18" + _varint(route_id) if route_id else b"")


@lru_cache(maxsize=1024)  # campaigns under way
def _task_id(task_id: int) -> bytes:
    return b"@" + _varint(task_id) if task_id else b""


def _varint(value: int) -> bytes:
    """Seven bits an octet, the lowest first; a negative number as its 64-bit complement."""
    value &= _INT64
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)

"""Aerospike's result codes: what became of a write, and in which words an operator hears of a failure. Pure.

Batches do not raise: each record has a code of its own, and the batch has one. A code that the server gave is
final; silence (a time-out, a lost connection) leaves a write *in doubt*, to be settled by reading back.
"""

from __future__ import annotations

from enum import Enum


class Answer(Enum):
    """What became of one write."""

    DONE = "done"
    MISSING = "missing"
    """No such record, and the write was not to make one."""
    EXISTS = "exists"
    FILTERED = "filtered"
    """The write's condition does not hold."""
    CHANGED = "changed"
    """The record no longer has the version that the write was for."""
    IN_DOUBT = "in doubt"
    """Done or not: nobody answered."""
    FAILED = "failed"
    """The server said no: nothing was done."""
    UNSENT = "unsent"
    """The client could not even ask: nothing was done."""


_ANSWERS = {0: Answer.DONE, 2: Answer.MISSING, 3: Answer.CHANGED, 5: Answer.EXISTS, 27: Answer.FILTERED}
_SILENCE = frozenset({9, 11, 212})
"""Time-outs, and a cluster in change."""

_WORDS = {
    -15: "no node answers",
    -10: "no node answers",
    -9: "TLS failed",
    -1: "the client could not connect or ask",
    4: "the server refused a parameter",
    8: "the namespace is full",
    9: "timed out",
    11: "the cluster is changing",
    13: "the record is too big",
    14: "the record is busy",
    18: "the device is overloaded",
    20: "there is no such namespace",
    22: "the namespace forbids the write",
    51: "the server knows no users: leave store.user empty",
    60: "the user is unknown",
    62: "the password is wrong",
    63: "the password has expired",
    65: "the user or the password is wrong",
    80: "a user is needed: set store.user",
    81: "the user has no right to do this",
    83: "the user is over its quota",
}


def answer_of(code: int, *, in_doubt: bool = False) -> Answer:
    """What a record's result code says of its write."""
    if code in _ANSWERS:
        return _ANSWERS[code]
    if in_doubt or code in _SILENCE:
        return Answer.IN_DOUBT
    return Answer.UNSENT if code < 0 else Answer.FAILED


def in_words(code: int | None) -> str:
    """For the operator's one line; codes without words are looked up in the vendor's list."""
    return f"{_WORDS.get(code or 0, 'the server refused')} (code {code})"

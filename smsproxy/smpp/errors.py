"""What can be wrong with octets, by severity. Any bytes: parsed, or refused with one of the first two.

SmppError
├── FramingLostError   the peer's fault; nobody knows where the next PDU begins, so the connection must close
├── BadPduError        the peer's fault; one PDU is unusable, it is answered and the session lives
└── NotBoundError      ours; a submit was asked of a session that is not bound, and no octet was queued
"""

from __future__ import annotations

from collections.abc import Sequence


class SmppError(Exception):
    """Base of the errors of `smpp`; never raised itself."""


class FramingLostError(SmppError):
    """The octets are no SMPP stream (any more). `frames` are the whole PDUs that came before the fault."""

    def __init__(self, reason: str, frames: Sequence[bytes] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.frames = frames


class BadPduError(SmppError):
    """One PDU cannot be used. It carries what an answer to it needs; `command_status` is that answer."""

    def __init__(self, command_id: int, sequence_number: int, command_status: int, reason: str) -> None:
        super().__init__(reason)
        self.command_id = command_id
        self.sequence_number = sequence_number
        self.command_status = command_status
        self.reason = reason


class NotBoundError(SmppError):
    """The session is not bound: nothing was queued (NotSent) and the reservation is given back."""

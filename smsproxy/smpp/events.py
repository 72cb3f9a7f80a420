"""What a session tells its driver, as values. Made by `session`, read by the link that drives it.

They are plain slotted classes, not frozen ones: two of them are made for every message. `owner` is whatever
the driver gave to `EsmeSession.submit`, handed back untouched.
"""

from __future__ import annotations

from dataclasses import dataclass

from smsproxy.domain.record import SegmentState
from smsproxy.smpp.pdu import DataSm, DeliverSm


@dataclass(slots=True)
class Bound:
    """The SMSC accepted the bind. Its own system_id, and its sc_interface_version when it told one."""

    system_id: str
    interface_version: int | None


@dataclass(slots=True)
class BindRefused:
    """The SMSC refused the bind; Closed follows."""

    command_status: int


@dataclass(slots=True)
class SubmitAnswered:
    """The answer to a submit_sm: status 0 means the SMSC has it under `smsc_id`; else it has not."""

    owner: object
    command_status: int
    smsc_id: str


@dataclass(slots=True)
class Nacked:
    """A generic_nack for a submit_sm: the SMSC does not have it."""

    owner: object
    command_status: int


@dataclass(slots=True)
class SubmitTimedOut:
    """No answer in time: in doubt, unless a LateAnswer comes. The slot is free."""

    owner: object


@dataclass(slots=True)
class SubmitLost:
    """The session ended with this one in flight: in doubt for good, but for a receipt."""

    owner: object


@dataclass(slots=True)
class LateAnswer:
    """The answer to a submit_sm whose SubmitTimedOut was told before; it settles the doubt."""

    owner: object
    command_status: int
    smsc_id: str


@dataclass(slots=True)
class Delivered:
    """A deliver_sm or data_sm from the SMSC. The driver answers it by `answer_deliver`."""

    pdu: DeliverSm | DataSm
    sequence_number: int


@dataclass(slots=True)
class ReceiptDelivered:
    """A deliver_sm that is a receipt of the common shape, read already: as `receipt.ParsedReceipt` has it.

    Every other receipt is a Delivered. The driver answers it by `answer_receipts`.
    """

    smsc_id: str
    state: SegmentState
    stat: str
    err: str
    sequence_number: int


@dataclass(slots=True)
class PeerUnbound:
    """The SMSC asked for the end; it was answered and Closed follows."""


@dataclass(slots=True)
class Unexpected:
    """Something that fits nothing and changed nothing: to be counted, not acted on."""

    what: str


@dataclass(slots=True)
class Closed:
    """The end: the last event of every session, told once. Write `data_to_send`, then close TCP."""

    reason: str


Event = (
    Bound
    | BindRefused
    | SubmitAnswered
    | Nacked
    | SubmitTimedOut
    | SubmitLost
    | LateAnswer
    | Delivered
    | ReceiptDelivered
    | PeerUnbound
    | Unexpected
    | Closed
)

"""One ESME session, from the connected socket to its end, without the socket.

The driver owns TCP and the clock. It calls `start`, feeds what it reads to `receive` and calls `tick` every
fraction of a second; after each it writes `data_to_send()` and acts on the events. When it was held up, it
reads before it ticks: an answer that waits in the socket is no silence. Times are seconds of one monotonic
clock.

States
    OPEN ──start──> BINDING ──bind_resp ok──> BOUND ──unbind──> UNBINDING ──unbind_resp──> CLOSED
    Every state can fall to CLOSED. Closed is told once, as the last event, whatever the cause: bind refused
    or not answered, framing lost, silence, unbind from either side, TCP lost. A closed session ignores all.

What the SMSC asks
    enquire_link is answered in every state, unbind is answered and ends the session, deliver_sm and data_sm
    are the driver's to answer (before the bind is accepted they are refused with ESME_RINVBNDSTS). A request
    that cannot be read gets a status of its own response (generic_nack where it has none), an unknown one a
    generic_nack with ESME_RINVCMDID; the session lives on. Responses carry the number of the request, any 32
    bits of it.

What we ask
    Sequence numbers run from 1 to 0x7FFFFFFF and round again, past the ones still in use. A response settles
    the request of its number only if it is of the right type; any other is Unexpected and changes nothing. A
    generic_nack settles the request of its number; with number 0 or an unknown one it is Unexpected.

Submits
    A place in the window is reserved first, so that the intent can be stored between that and the write. A
    submit that is not answered within `response_timeout_s` gives its slot back and is remembered (the last
    10,000 of them) for its late answer. Three in a row that timed out on a silent link end the session.
    What is in flight at the end is told as SubmitLost: its octets may have left, nobody knows.

Keep-alive
    In `timers`: enquire_link after `enquire_link_s` without an octet from the SMSC; any octet counts as life.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from smsproxy.smpp import constants as c
from smsproxy.smpp import events as e
from smsproxy.smpp.codec import (
    Header,
    decode,
    decode_message_id,
    encode,
    encode_delivery_answer,
    pack_header,
    unpack_header,
)
from smsproxy.smpp.errors import BadPduError, FramingLostError, NotBoundError
from smsproxy.smpp.framing import HEADER_OCTETS, Framer
from smsproxy.smpp.options import SessionOptions
from smsproxy.smpp.pdu import (
    BindKind,
    BindResp,
    DataSm,
    DeliverSm,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Pdu,
    Unbind,
    UnbindResp,
)
from smsproxy.smpp.receipt import read_receipt_frame
from smsproxy.smpp.refusals import answer_to_bad, answer_to_unserved, refusal
from smsproxy.smpp.requests import Requests
from smsproxy.smpp.submits import Submits
from smsproxy.smpp.timers import Due, SessionTimers
from smsproxy.smpp.tlv import int_tlv


class State(Enum):
    """Where a session is."""

    OPEN = "open"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    CLOSED = "closed"


# Attributes of modules and enums cost more than names of this module, and these are read for every segment.
_SUBMIT_SM = c.SUBMIT_SM
_SUBMIT_SM_RESP = c.SUBMIT_SM_RESP
_DELIVER_SM = c.DELIVER_SM
_DELIVER_SM_RESP = c.DELIVER_SM_RESP
_BOUND = State.BOUND
_RECEIVING = (State.BOUND, State.UNBINDING)


class EsmeSession:
    """Our side of one TCP life. Every method that depends on the time takes `now`."""

    __slots__ = (
        "_framer",
        "_next_number",
        "_options",
        "_out",
        "_receives_only",
        "_requests",
        "_submits",
        "_timers",
        "_window",
        "state",
    )

    def __init__(self, options: SessionOptions) -> None:
        self.state = State.OPEN
        self._options = options
        self._receives_only = options.kind is BindKind.RECEIVER
        self._framer = Framer(options.max_pdu_bytes)
        self._submits = Submits(options.window, options.response_timeout_s)
        self._window = self._submits.window
        self._requests = Requests(self._submits)
        self._next_number = self._requests.next_number  # asked for every segment
        self._timers = SessionTimers(
            options.enquire_link_s, options.response_timeout_s, options.bind_timeout_s
        )
        self._out: list[bytes] = []

    def __repr__(self) -> str:
        window = self._window
        return f"<EsmeSession {self.state.value} window={window.in_flight}/{window.size} +{window.reserved}>"

    # --- what the driver asks --------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Queue the bind. Raises ValueError naming the option that does not fit its field."""
        bind, long = self._options.bind(), self._options.allow_long_password
        number = self._requests.ask(bind.command_id)
        self._out.append(encode(bind, number, allow_long_password=long))
        self.state = State.BINDING
        self._timers.binding(now)

    @property
    def free_slots(self) -> int:
        """How many times `reserve` would say yes now."""
        return self._window.free if self.state is _BOUND and not self._receives_only else 0

    @property
    def in_flight(self) -> int:
        return self._window.in_flight

    def reserve(self) -> bool:
        """Hold one place of the window. False when none is free or nothing may be submitted now."""
        return self.state is _BOUND and not self._receives_only and self._window.reserve()

    def unreserve(self) -> None:
        """Give a held place back; in every state, so that holding and giving back always pair."""
        self._window.unreserve()

    def submit(self, body: bytes, owner: object, now: float) -> int:
        """Queue a submit_sm with this body in a held place; its sequence_number.

        `owner` (never None) comes back in exactly one of SubmitAnswered, Nacked, SubmitTimedOut, SubmitLost.
        Raises NotBoundError when the session ended in between: the place is given back, nothing was queued.
        """
        if self.state is not _BOUND:
            self._window.unreserve()
            raise NotBoundError(f"the session is {self.state.value}")
        sequence_number = self._next_number()
        self._window.take(sequence_number, owner, now)
        self._out += (pack_header(HEADER_OCTETS + len(body), _SUBMIT_SM, 0, sequence_number), body)
        return sequence_number

    def answer_deliver(self, request: e.Delivered, command_status: int) -> None:
        """Queue the answer to a Delivered. Of no effect once closed: the SMSC will deliver it again."""
        if self.state is not State.CLOSED:
            response_id = request.pdu.command_id | c.RESPONSE_BIT
            self._out.append(encode_delivery_answer(response_id, request.sequence_number, command_status))

    def answer_receipts(self, sequence_numbers: Sequence[int], command_status: int) -> None:
        """Queue the answers to many ReceiptDelivered. As `answer_deliver`."""
        if self.state is not State.CLOSED:
            answers = [encode_delivery_answer(_DELIVER_SM_RESP, n, command_status) for n in sequence_numbers]
            self._out.append(b"".join(answers))

    def unbind(self, now: float) -> None:
        """Queue the unbind; nothing is submitted any more. Of no effect unless bound."""
        if self.state is State.BOUND:
            self._ask(Unbind())
            self.state = State.UNBINDING
            self._timers.unbinding(now)

    def data_to_send(self) -> bytes:
        """All queued octets, once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    @property
    def closed(self) -> bool:
        return self.state is State.CLOSED

    # --- what happens ----------------------------------------------------------------------------------

    def lost(self) -> list[e.Event]:
        """TCP is gone."""
        return self._close("connection lost")

    def tick(self, now: float) -> list[e.Event]:
        """Let time pass: time out submits, send an enquire_link, or give up."""
        if self.state is State.CLOSED:
            return []
        events = self._submits.expire(now)
        if self._submits.silent:
            return events + self._close("silent")
        match self._timers.due(now):
            case Due.NOTHING:
                pass
            case Due.ENQUIRE_LINK:
                self._ask(EnquireLink())
            case dead:
                events += self._close(dead.value)
        return events

    def receive(self, data: bytes, now: float) -> list[e.Event]:
        """Octets came. The events are in the order of the PDUs, however the octets were cut."""
        if self.closed or not data:
            return []
        self._timers.traffic(now)
        try:
            frames, lost = self._framer.feed(data), ""
        except FramingLostError as error:
            frames, lost = list(error.frames), error.reason
        events: list[e.Event] = []
        answered = self._submits.answered
        for frame in frames:
            _, command_id, command_status, sequence_number = unpack_header(frame)
            if command_id == _SUBMIT_SM_RESP:
                # The hot path, so neither a Header nor a SubmitSmResp is made for it.
                smsc_id = decode_message_id(frame)
                events.append(answered(sequence_number, command_status, smsc_id, now))
                continue
            if command_id == _DELIVER_SM and self.state in _RECEIVING:
                receipt = read_receipt_frame(frame)  # as hot: neither a DeliverSm nor its addresses
                if receipt is not None:
                    events.append(e.ReceiptDelivered(*receipt, sequence_number))
                    continue
            events += self._received(frame, now)
            if self.closed:
                return events
        return events + self._close(f"framing lost: {lost}") if lost else events

    # --- everything else -------------------------------------------------------------------------------

    def _received(self, frame: bytes, now: float) -> list[e.Event]:
        try:
            header, pdu = decode(frame)
        except BadPduError as error:
            self._out.append(answer_to_bad(error))
            return [e.Unexpected(error.reason)]
        match pdu:
            case DeliverSm() | DataSm():
                return [self._delivered(header, pdu)]
            case EnquireLink():
                self._out.append(encode(EnquireLinkResp(), header.sequence_number))
                return []
            case BindResp() | EnquireLinkResp() | UnbindResp():
                return self._response(header, pdu, now)
            case GenericNack():
                return self._nacked(header, now)
            case Unbind():
                self._out.append(encode(UnbindResp(), header.sequence_number))
                return [e.PeerUnbound(), *self._close("unbound by the SMSC")]
            case _:
                self._out.append(answer_to_unserved(header, pdu))
        return [e.Unexpected(c.command_name(header.command_id))]

    def _delivered(self, header: Header, pdu: DeliverSm | DataSm) -> e.Event:
        if self.state in (State.OPEN, State.BINDING):
            self._out.append(refusal(header.command_id, header.sequence_number, c.ESME_RINVBNDSTS))
            return e.Unexpected(f"{c.command_name(header.command_id)} before the bind was answered")
        return e.Delivered(pdu, header.sequence_number)

    def _response(self, header: Header, pdu: Pdu, now: float) -> list[e.Event]:
        """The answer to our bind, enquire_link or unbind, if it is one."""
        request_id = header.command_id & ~c.RESPONSE_BIT
        if not self._requests.settle(request_id, header.sequence_number):
            name = c.command_name(header.command_id)
            return [e.Unexpected(f"{name} with unknown sequence_number {header.sequence_number}")]
        if isinstance(pdu, BindResp):
            return self._bind_answered(header.command_status, pdu, now)
        return self._close("unbound") if isinstance(pdu, UnbindResp) else []

    def _bind_answered(self, command_status: int, pdu: BindResp, now: float) -> list[e.Event]:
        if command_status != c.ESME_ROK:
            return self._bind_refused(command_status)
        self.state = State.BOUND
        self._timers.bound(now)
        return [e.Bound(pdu.system_id, int_tlv(pdu.tlvs, c.TLV_SC_INTERFACE_VERSION))]

    def _bind_refused(self, command_status: int) -> list[e.Event]:
        closed = self._close(f"bind refused: {c.status_text(command_status)}")
        return [e.BindRefused(command_status), *closed]

    def _nacked(self, header: Header, now: float) -> list[e.Event]:
        """generic_nack (§4.3): it settles the request of its number, whatever that was."""
        _, _, command_status, sequence_number = header
        request_id = self._requests.nacked(sequence_number)
        if request_id is None:
            return [self._submits.nacked(sequence_number, command_status, now)]
        if request_id == self._options.kind:
            return self._bind_refused(command_status)
        if request_id == c.UNBIND:
            return self._close("unbound")
        return []  # an SMSC that knows no enquire_link lives all the same

    def _ask(self, pdu: Unbind | EnquireLink) -> None:
        self._out.append(encode(pdu, self._requests.ask(pdu.command_id)))

    def _close(self, reason: str) -> list[e.Event]:
        """The one way to the end. What stays true: Closed is told once, and no owner is left behind."""
        if self.state is State.CLOSED:
            return []
        self.state = State.CLOSED
        self._timers.stopped()
        self._requests.drop()
        return [*self._submits.drain(), e.Closed(reason)]

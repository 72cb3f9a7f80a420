"""One TCP life of an ESME, seen from the SMSC: which PDU means what, and who answers it.

Submits go to the intake, answers to deliver_sm to the account. Made by `Smsc` with the wire it sits on.
"""

from __future__ import annotations

from functools import partial

from smsproxy.simulator.account import Account, Accounts
from smsproxy.simulator.answers import Answer
from smsproxy.simulator.core import Core
from smsproxy.simulator.intake import Intake
from smsproxy.simulator.receipts import Delivery
from smsproxy.simulator.requests import Requests
from smsproxy.simulator.wire import Wire
from smsproxy.smpp import constants as c
from smsproxy.smpp import pdu as p
from smsproxy.smpp.codec import Header, decode, encode, pack_header
from smsproxy.smpp.errors import BadPduError
from smsproxy.smpp.framing import HEADER_OCTETS

_MAX_UNBIND_S = 5.0
"""How long an ESME may take to answer our unbind."""
_RECEIVES = (p.BindKind.RECEIVER, p.BindKind.TRANSCEIVER)
_SUBMITS = (p.BindKind.TRANSMITTER, p.BindKind.TRANSCEIVER)
_SC_INTERFACE_VERSION = {c.TLV_SC_INTERFACE_VERSION: bytes((c.INTERFACE_VERSION_34,))}


class SmscSession:
    """Numbers its own requests; never asks a session that is not bound."""

    def __init__(
        self,
        number: int,
        core: Core,
        accounts: Accounts,
        intake: Intake,
        wire: Wire,
        open_ones: dict[int, SmscSession],
    ) -> None:
        self.number = number
        self.account: Account | None = None
        self.kind: p.BindKind | None = None
        self.submits = 0
        self.outstanding = 0
        self._core = core
        self._accounts = accounts
        self._intake = intake
        self._wire = wire
        self._open_ones = open_ones
        self._unbinding = False
        self._requests = Requests()

    def __repr__(self) -> str:
        kind = self.kind.name.lower() if self.kind is not None else "unbound"
        return f"<SmscSession {self.number} {self.system_id!r} {kind} outstanding={self.outstanding}>"

    @property
    def system_id(self) -> str:
        return self.account.system_id if self.account is not None else ""

    @property
    def bound(self) -> bool:
        return self.kind is not None and not self.ended

    @property
    def ended(self) -> bool:
        return self._wire.ended

    # -- out ------------------------------------------------------------------------------------------------

    def write(self, answer: Answer, smsc_id: str = "", state: str = "") -> None:
        """One PDU, noted and written; later if the session is deaf."""
        if self._wire.ended:
            return
        if self._wire.deaf:
            self._wire.hold(partial(self.write, answer, smsc_id, state))
            return
        pdu, sequence_number, status = answer
        if isinstance(pdu, p.UnknownPdu):  # as it is; `encode` would tidy up a refusal
            octets = pack_header(HEADER_OCTETS + len(pdu.body), pdu.command_id, status, sequence_number)
            self._wire.write(octets + pdu.body)
        else:
            self._wire.write(encode(pdu, sequence_number, status))
        self._core.truth.note(
            self.number, self.system_id, "out", sequence_number, status, pdu, smsc_id, state
        )

    @property
    def has_room(self) -> bool:
        """Whether one more deliver_sm may be sent."""
        free = self._requests.undelivered < self._core.script.receipt_window
        return free and not (self._unbinding or self._wire.paused or self._wire.ended)

    def deliver(self, delivery: Delivery) -> None:
        """Send a deliver_sm or data_sm and wait for its answer."""
        sequence_number = self._requests.deliver(delivery, self._core.now())
        self._core.counters.delivers_sent += 1
        self.write(Answer(delivery.pdu, sequence_number), delivery.smsc_id, delivery.state)
        if self._core.say is not None:
            self._core.say(f"session {self.number}: {delivery.words} ->")

    def expire(self, now: float, timeout_s: float) -> None:
        """Take back the deliveries that were not answered in time, oldest first."""
        for delivery in self._requests.expire(now, timeout_s):
            if self.account is not None:
                self.account.silent(delivery)

    def enquire(self) -> None:
        """Ask whether the ESME is there."""
        sequence_number = self._requests.enquire(self._core.now())
        self._core.counters.enquire_links_sent += 1
        self.write(Answer(p.EnquireLink(), sequence_number))

    def unbind(self) -> None:
        """Ask for the end; it comes with the answer, or after 5 s without."""
        if self.bound and not self._unbinding:
            self._unbinding = True
            self.write(Answer(p.Unbind(), self._requests.next_number()))
            self._core.timers.after(_MAX_UNBIND_S, self._wire.close)

    def cut(self) -> None:
        """RST."""
        self._wire.cut()

    def set_deaf(self, deaf: bool) -> None:
        """See `Wire.set_deaf`."""
        self._wire.set_deaf(deaf)

    def close(self) -> None:
        """End TCP in order, without unbind."""
        self._wire.close()

    # -- in: what the wire calls ----------------------------------------------------------------------------

    def connected(self) -> None:
        """TCP stands."""
        self._open_ones[self.number] = self
        self._core.counters.sessions += 1
        self._core.counters.connections += 1
        self._say(f"connected from {self._wire.peer}")

    def writable(self) -> None:
        """The peer reads again."""
        if self.account is not None:
            self.account.pump()

    def disconnected(self) -> None:
        """TCP ended: deliveries without an answer go back to the account."""
        unanswered = self._requests.drain()
        if self.account is not None and self.kind is not None:
            self._core.counters.bound -= 1
            if self.kind in _RECEIVES:
                self.account.remove(self, unanswered)
        self._say("closed")
        del self._open_ones[self.number]
        self._core.counters.sessions -= 1

    def framing_lost(self, reason: str) -> None:
        """Nobody knows where the next PDU begins: say so and close (§4.3.1)."""
        self._core.counters.bad_pdus += 1
        self._say(f"no SMPP: {reason}")
        self.write(Answer(p.GenericNack(), 0, c.ESME_RINVCMDLEN))
        self._wire.close()

    def take(self, frame: bytes) -> None:
        """One whole PDU."""
        try:
            header, pdu = decode(frame)
        except BadPduError as error:
            self._refuse_bad(frame, error)
            return
        if isinstance(pdu, p.SubmitSm | p.DataSm) and self.account is not None and self.kind in _SUBMITS:
            self._intake.submit(self, self.account, pdu, header.sequence_number)
            return
        self._note(header.sequence_number, header.command_status, pdu)
        match pdu:
            case p.DeliverSmResp() | p.DataSmResp() | p.GenericNack():
                self._take_delivery_answer(header)
            case p.Bind():
                self._take_bind(header, pdu)
            case p.EnquireLinkResp():
                self._take_enquiry_answer(header)
            case p.UnbindResp() if self._unbinding:
                self._wire.close()
            case _ if header.command_id & c.RESPONSE_BIT:
                self._core.counters.unexpected += 1
            case _:
                self._answer_request(header, pdu)

    def _note(self, sequence_number: int, command_status: int, pdu: p.Pdu) -> None:
        system_id = pdu.system_id if isinstance(pdu, p.Bind) else self.system_id
        self._core.truth.note(self.number, system_id, "in", sequence_number, command_status, pdu)

    def _say(self, words: str) -> None:
        if self._core.say is not None:
            self._core.say(f"session {self.number}: {words}")

    def _refuse_bad(self, frame: bytes, error: BadPduError) -> None:
        """A PDU that cannot be read: answered with what is wrong, and the session lives on."""
        self._core.counters.bad_pdus += 1
        self._note(error.sequence_number, 0, p.UnknownPdu(error.command_id, frame[HEADER_OCTETS:]))
        answer = p.UnknownPdu(error.command_id | c.RESPONSE_BIT)
        self.write(Answer(answer, error.sequence_number, error.command_status))

    # -- in: one kind of PDU each ---------------------------------------------------------------------------

    def _answer_request(self, header: Header, pdu: p.Pdu) -> None:
        counters, status = self._core.counters, c.ESME_ROK
        reply: p.Pdu
        match pdu:
            case p.EnquireLink():
                counters.enquire_links += 1
                reply = p.EnquireLinkResp()
            case p.Unbind():
                counters.unbinds += 1
                reply = p.UnbindResp()
            case p.QuerySm() if self.bound:
                reply, status = self._intake.query(pdu)
            case p.SubmitSm() | p.DataSm() | p.QuerySm():
                reply, status = p.UnknownPdu(header.command_id | c.RESPONSE_BIT), c.ESME_RINVBNDSTS
            case _:
                counters.unexpected += 1
                reply, status = p.GenericNack(), c.ESME_RINVCMDID
        self.write(Answer(reply, header.sequence_number, status))
        if isinstance(pdu, p.Unbind):
            self._say("unbind")
            self._wire.close()

    def _take_delivery_answer(self, header: Header) -> None:
        delivery = self._requests.delivered(header.sequence_number)
        if delivery is None or self.account is None:
            self._core.counters.unexpected += 1
            return
        if header.command_status:
            self._say(f"{delivery.words} refused: {c.status_text(header.command_status)}")
        self.account.answered(delivery, header.command_status)

    def _take_enquiry_answer(self, header: Header) -> None:
        asked_at = self._requests.enquired(header.sequence_number)
        counters = self._core.counters
        if asked_at is None:
            counters.unexpected += 1
            return
        counters.enquire_links_answered += 1
        counters.enquire_link_max_s = max(counters.enquire_link_max_s, self._core.now() - asked_at)

    def _take_bind(self, header: Header, bind: p.Bind) -> None:
        script = self._core.script
        name = f"{ascii(bind.system_id)[1:-1]} {bind.kind.name.lower()}"
        if script.bind_silent:
            self._say(f"bind {name} -> no answer")
            return
        status = c.ESME_RALYBND if self.kind is not None else script.bind_status
        account = None if status else self._accounts.get(bind.system_id)
        if account is None:
            status = status or c.ESME_RBINDFAIL
        self._say(f"bind {name} -> {c.status_text(status) if status else 'ok'}")
        if account is None:
            self._core.counters.binds_refused += 1
            self.write(Answer(p.BindResp(bind.kind), header.sequence_number, status))
            return
        self.account, self.kind = account, bind.kind
        self._core.counters.binds += 1
        self._core.counters.bound += 1
        reply = p.BindResp(bind.kind, script.system_id, _SC_INTERFACE_VERSION)
        self.write(Answer(reply, header.sequence_number))
        if bind.kind in _RECEIVES:
            account.add(self)

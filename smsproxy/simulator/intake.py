"""Takes a submit_sm or data_sm through the SMSC: plan, id, answer, receipts; and answers query_sm.

Called by the session for every such PDU. Nothing here waits: what is due later stands in the timers.
"""

from __future__ import annotations

import time
from typing import Protocol

from smsproxy.domain.address import Address
from smsproxy.simulator.account import Account, Accounts
from smsproxy.simulator.answers import Answer, answers
from smsproxy.simulator.core import Core, Kept
from smsproxy.simulator.ids import written
from smsproxy.simulator.plan import Plan
from smsproxy.simulator.receipts import make_receipt, message_state
from smsproxy.simulator.texts import content_of, decode_text, user_data
from smsproxy.smpp.constants import ESME_RMSGQFUL, ESME_RTHROTTLED, status_text
from smsproxy.smpp.pdu import DataSm, QuerySm, QuerySmResp, SubmitSm

ESME_RQUERYFAIL = 0x67
_SHOWN_CHARACTERS = 40
_THROTTLED = (ESME_RTHROTTLED, ESME_RMSGQFUL)
_ODD = frozenset({"unknown_sequence", "repeat", "wrong_type", "nack", "nack_zero"})


class Submitter(Protocol):
    """The session a submit came on."""

    number: int
    submits: int
    outstanding: int
    """Submits whose answer is still to come."""

    @property
    def ended(self) -> bool: ...

    def write(self, answer: Answer, smsc_id: str = "") -> None: ...

    def cut(self) -> None: ...

    def unbind(self) -> None: ...


class _Taken:
    """A message on its way to its receipts."""

    __slots__ = ("handset", "response_id", "sender", "smsc_id", "submitted_at", "text")

    def __init__(self, pdu: SubmitSm | DataSm, response_id: str, smsc_id: str, now: float) -> None:
        self.handset: Address = pdu.destination_addr
        self.sender: Address = pdu.source_addr
        self.text = user_data(pdu)[:20]
        self.response_id = response_id
        self.smsc_id = smsc_id
        self.submitted_at = now


class Intake:
    """One for all sessions of a simulator."""

    def __init__(self, core: Core, accounts: Accounts) -> None:
        self._core = core
        self._accounts = accounts

    def submit(
        self, session: Submitter, account: Account, pdu: SubmitSm | DataSm, sequence_number: int
    ) -> None:
        """Do with one submit what the script says."""
        core = self._core
        script = core.script
        session.submits += 1
        plan = core.planner.plan(pdu, account.bucket, core.now())
        if script.cut_after_submits and session.submits >= script.cut_after_submits:
            plan = Plan(action="cut")
        ids = written(core.ids.take(), script.id_format, script.receipt_id_format) if plan.taken else ("", "")
        self._note(session.number, account.system_id, pdu, sequence_number, plan, ids[0])
        if plan.silent:
            if plan.action == "cut":
                session.cut()
            return
        if plan.early:
            self._plan_receipts(account, pdu, plan, ids)
        self._plan_answer(session, pdu, sequence_number, plan, ids[0])
        if plan.taken and not plan.early:
            self._plan_receipts(account, pdu, plan, ids)
        if script.unbind_after_submits and session.submits == script.unbind_after_submits:
            core.timers.after(plan.answer_s, session.unbind)

    def query(self, pdu: QuerySm) -> tuple[QuerySmResp, int]:
        """The answer to a query_sm and its status; the source must be the one that submitted (§4.8.1)."""
        self._core.counters.queries += 1
        kept = self._core.messages.get(pdu.message_id)
        if kept is None or kept.source != pdu.source_addr.digits:
            return QuerySmResp(), ESME_RQUERYFAIL
        final = time.strftime("%y%m%d%H%M%S000+", time.gmtime(kept.done_at)) if kept.done_at else ""
        return QuerySmResp(pdu.message_id, final, message_state(kept.state)), 0

    # -- answers --------------------------------------------------------------------------------------------

    def _plan_answer(
        self, session: Submitter, pdu: SubmitSm | DataSm, sequence_number: int, plan: Plan, smsc_id: str
    ) -> None:
        session.outstanding += 1
        counters = self._core.counters
        if session.outstanding > counters.max_outstanding:
            counters.max_outstanding = session.outstanding
        if plan.answer_s > 0:
            self._core.timers.after(plan.answer_s, self._answer, session, pdu, sequence_number, plan, smsc_id)
        else:
            self._answer(session, pdu, sequence_number, plan, smsc_id)

    def _answer(
        self, session: Submitter, pdu: SubmitSm | DataSm, sequence_number: int, plan: Plan, smsc_id: str
    ) -> None:
        """The answer is due."""
        counters = self._core.counters
        session.outstanding -= 1
        if session.ended:
            counters.answers_lost += 1
            return
        counters.answers += 1
        counters.odd_answers += plan.action in _ODD
        for answer in answers(pdu, sequence_number, plan, smsc_id, self._core.script.error_body):
            session.write(answer, smsc_id)

    # -- receipts -------------------------------------------------------------------------------------------

    def _plan_receipts(
        self, account: Account, pdu: SubmitSm | DataSm, plan: Plan, ids: tuple[str, str]
    ) -> None:
        core = self._core
        now = core.truth.clock()
        if not plan.states:
            core.keep(
                ids[0], Kept(pdu.source_addr.digits, plan.state or "ENROUTE", now if plan.state else 0.0)
            )
            return
        core.keep(ids[0], Kept(pdu.source_addr.digits, "ENROUTE"))
        message = _Taken(pdu, *ids, now)
        for index, state in enumerate(plan.states):
            delay_s = plan.receipt_s + index * core.script.receipt_spacing_s
            if delay_s > 0:
                core.timers.after(delay_s, self._receipt, account, message, state, plan.state)
            else:
                self._receipt(account, message, state, plan.state)

    def _receipt(self, account: Account, message: _Taken, state: str, final: str) -> None:
        """A receipt is due."""
        core = self._core
        now = core.truth.clock()
        core.counters.receipts += 1
        if state == final:
            core.keep(message.response_id, Kept(message.sender.digits, state, now))
        delivery = make_receipt(
            core.script, message.smsc_id, state, handset=message.handset, sender=message.sender,
            submitted_at=message.submitted_at, now=now, text=message.text,
        )  # fmt: skip
        owner = core.script.receipt_system_id
        taker = self._accounts.get(owner) if owner else account
        if taker is None:
            core.counters.delivers_dropped += 1
            return
        taker.deliver(delivery)

    # -- notes ----------------------------------------------------------------------------------------------

    def _note(
        self,
        session: int,
        system_id: str,
        pdu: SubmitSm | DataSm,
        sequence_number: int,
        plan: Plan,
        smsc_id: str,
    ) -> None:
        core, counters, status = self._core, self._core.counters, plan.command_status
        counters.submits += 1
        if status:
            counters.refused += 1
            counters.throttled += plan.action is None and status in _THROTTLED
        elif plan.silent:
            counters.silent += 1
        else:
            counters.taken += 1
        answer = None if plan.silent else status
        core.truth.note(session, system_id, "in", sequence_number, 0, pdu, smsc_id, answer=answer)
        if core.say is not None:
            core.say(f"session {session}: {_shown(pdu)} -> {_end(plan, smsc_id)}")


def _shown(pdu: SubmitSm | DataSm) -> str:
    """A submit for people. What came from outside is shown so that it cannot play tricks on a terminal."""
    content = content_of(pdu)
    text = decode_text(content.octets, pdu.data_coding, content.single_shift, content.locking_shift)
    shown = f"{len(content.octets)} octets" if text is None else repr(text[:_SHOWN_CHARACTERS])
    place = f" {content.concat.segment_no}/{content.concat.total_segments}" if content.concat else ""
    return f"{ascii(pdu.destination_addr.digits)[1:-1]}{place} {shown}"


def _end(plan: Plan, smsc_id: str) -> str:
    if plan.silent:
        return "no answer" if plan.action == "silent" else "cut"
    words = status_text(plan.command_status) if plan.command_status else f"id {smsc_id}"
    return f"{words}, {plan.action}" if plan.action in _ODD else words

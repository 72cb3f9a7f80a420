"""From a deliver_sm (or data_sm) to a receipt under the key by which the store knows the segment.

Called by the link for everything an SMSC delivers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import SegmentState
from smsproxy.links.base import Delivery
from smsproxy.links.sessions import Session
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import ESME_ROK, ESME_RX_T_APPN
from smsproxy.smpp.events import Delivered, ReceiptDelivered
from smsproxy.smpp.receipt import ParsedReceipt, parse_receipt
from smsproxy.smpp.receipt_id import receipt_key

_DELIVERED = SegmentState.DELIVERED  # a name of the module costs less than an attribute of an Enum


class Receipts:
    """Reads receipts by one link's rules. `wall_clock` is Unix seconds."""

    __slots__ = ("_account", "_by_text", "_rule", "_wall_clock")

    def __init__(self, settings: LinkSettings, wall_clock: Callable[[], float] = time.time) -> None:
        self._account = settings.account_name
        self._rule = settings.receipt_id
        self._by_text = settings.receipt_by_text
        self._wall_clock = wall_clock

    def delivery(self, session: Session, event: Delivered) -> Delivery | None:
        """The one receipt and the way to answer it; None for what is no receipt (an inbound message).

        Raises BadPduError, with the status to answer, for one that names no segment or no state.
        """
        parsed = parse_receipt(event.pdu, by_text=self._by_text)
        if parsed is None:
            return None
        return Delivery([self._receipt(parsed, self._wall_clock())], partial(answer_with, session, event))

    def of_one_read(self, session: Session, events: list[ReceiptDelivered]) -> Delivery:
        """The common ones that came one after the other: nearly all of them, so they share what they can."""
        at = self._wall_clock()
        receipts = [self._receipt(event, at) for event in events]
        numbers = [event.sequence_number for event in events]
        return Delivery(receipts, partial(_answer_all, session, numbers))

    def _receipt(self, said: ParsedReceipt | ReceiptDelivered, at: float) -> Receipt:
        smsc_id, state = said.smsc_id, said.state
        key = smsc_id if self._rule == "raw" else receipt_key(smsc_id, self._rule, "receipt")
        # The SMSC's words (``UNDELIV err:045``); a delivery needs none.
        reason = "" if state is _DELIVERED else f"{said.stat} err:{said.err}" if said.err else said.stat
        return Receipt(self._account, key, state, reason, at)


def answer_with(session: Session, event: Delivered, stored: bool) -> None:
    """Tell the SMSC ok, or to repeat it."""
    session.answer(event, ESME_ROK if stored else ESME_RX_T_APPN)


def _answer_all(session: Session, sequence_numbers: list[int], stored: bool) -> None:
    session.answer_receipts(sequence_numbers, ESME_ROK if stored else ESME_RX_T_APPN)

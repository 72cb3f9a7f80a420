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
from smsproxy.smpp.events import Delivered
from smsproxy.smpp.receipt import ParsedReceipt, parse_receipt
from smsproxy.smpp.receipt_id import receipt_key


class Receipts:
    """Reads receipts by one link's rules. `wall_clock` is Unix seconds."""

    __slots__ = ("_account", "_by_text", "_rule", "_wall_clock")

    def __init__(self, settings: LinkSettings, wall_clock: Callable[[], float] = time.time) -> None:
        self._account = settings.account_name
        self._rule = settings.receipt_id
        self._by_text = settings.receipt_by_text
        self._wall_clock = wall_clock

    def delivery(self, session: Session, event: Delivered) -> Delivery | None:
        """The receipt and the way to answer it; None for what is no receipt (an inbound message).

        Raises BadPduError, with the status to answer, for one that names no segment or no state.
        """
        parsed = parse_receipt(event.pdu, by_text=self._by_text)
        if parsed is None:
            return None
        key = receipt_key(parsed.smsc_id, self._rule, "receipt")
        receipt = Receipt(self._account, key, parsed.state, _reason(parsed), self._wall_clock())
        return Delivery(receipt, partial(answer_with, session, event))


def _reason(parsed: ParsedReceipt) -> str:
    """The SMSC's words (``UNDELIV err:045``); a delivery needs none."""
    if parsed.state is SegmentState.DELIVERED:
        return ""
    return f"{parsed.stat} err:{parsed.err}" if parsed.err else parsed.stat


def answer_with(session: Session, event: Delivered, stored: bool) -> None:
    """Tell the SMSC ok, or to repeat it."""
    session.answer(event, ESME_ROK if stored else ESME_RX_T_APPN)

"""From a deliver_sm (or data_sm) to a receipt under the key by which the store knows the segment."""

from __future__ import annotations

import time
from functools import partial

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import SegmentState
from smsproxy.links.base import Delivery
from smsproxy.links.transport import SmppConnection
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import ESME_ROK, ESME_RX_T_APPN
from smsproxy.smpp.events import Delivered
from smsproxy.smpp.receipt import parse_receipt
from smsproxy.smpp.receipt_id import receipt_key


class Receipts:
    """Reads receipts by one link's rules."""

    __slots__ = ("_account", "_rule")

    def __init__(self, settings: LinkSettings) -> None:
        self._account = settings.account_name
        self._rule = settings.receipt_id

    def delivery(self, connection: SmppConnection, event: Delivered) -> Delivery | None:
        """None for what is no receipt (an inbound message)."""
        parsed = parse_receipt(event.pdu)
        if parsed is None:
            return None
        key = receipt_key(parsed.smsc_id, self._rule, "receipt")
        reason = "" if parsed.state is SegmentState.DELIVERED else f"{parsed.stat} err:{parsed.err}"
        receipt = Receipt(self._account, key, parsed.state, reason, time.time())
        return Delivery(receipt, partial(_answer, connection, event))


def _answer(connection: SmppConnection, event: Delivered, stored: bool) -> None:
    connection.answer(event, ESME_ROK if stored else ESME_RX_T_APPN)

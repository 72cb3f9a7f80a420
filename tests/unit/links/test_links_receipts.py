"""From deliver_sm and data_sm to receipts, and how they are answered."""

from __future__ import annotations

from typing import Any

import pytest
from links_kit import PHONE, SOURCE, Bench, CountingSession

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import SegmentState
from smsproxy.links.receipts import Receipts
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import ESME_ROK, ESME_RX_P_APPN, ESME_RX_T_APPN
from smsproxy.smpp.events import Delivered, ReceiptDelivered
from smsproxy.smpp.pdu import DataSm, DeliverSm

RECEIPT = 4


def delivered(text: str, esm_class: int = RECEIPT, tlvs: dict[int, bytes] | None = None) -> Delivered:
    pdu = DeliverSm("", PHONE, SOURCE, esm_class, short_message=text.encode("latin-1"), tlvs=tlvs or {})
    return Delivered(pdu, 5)


def a_receipt(text: str, **settings: Any) -> Receipt:
    values = {"system_id": "esme", "host": "smsc.example", "port": 3000, **settings}
    delivery = Receipts(LinkSettings(**values), lambda: 1234.5).delivery(CountingSession(), delivered(text))
    assert delivery is not None
    (receipt,) = delivery.receipts
    return receipt


def test_a_receipt_is_filed_under_the_account_and_the_id() -> None:
    receipt = a_receipt("id:0A1 stat:DELIVRD err:000")
    assert receipt == Receipt("esme@smsc.example:3000", "0A1", SegmentState.DELIVERED, "", 1234.5)
    assert a_receipt("id:1 stat:DELIVRD", account="shared").account == "shared"


def test_the_id_is_spelled_by_the_link_s_rule() -> None:
    assert a_receipt("id:0255 stat:DELIVRD", receipt_id="hex_response_decimal_receipt").receipt_key == "255"
    assert a_receipt("id:00ff stat:DELIVRD", receipt_id="decimal_response_hex_receipt").receipt_key == "255"


@pytest.mark.parametrize(
    ("text", "state", "reason"),
    [
        ("id:1 stat:DELIVRD err:000", SegmentState.DELIVERED, ""),
        ("id:1 stat:UNDELIV err:045", SegmentState.UNDELIVERABLE, "UNDELIV err:045"),
        ("id:1 stat:EXPIRED", SegmentState.EXPIRED, "EXPIRED"),
        ("id:1 stat:REJECTD err:abc", SegmentState.REJECTED, "REJECTD err:abc"),
        ("id:1 stat:ENROUTE", SegmentState.SUBMITTED, "ENROUTE"),
    ],
)
def test_the_reason_is_in_the_smsc_s_words(text: str, state: SegmentState, reason: str) -> None:
    receipt = a_receipt(text)
    assert (receipt.state, receipt.reason) == (state, reason)


def test_a_receipt_is_answered_only_once_it_is_stored() -> None:
    bench = Bench()
    event = delivered("id:1 stat:DELIVRD")
    bench.link.on_events(bench.session, [event])
    assert bench.session.answers == []
    (delivery,) = bench.desk.deliveries
    delivery.answer(True)
    assert bench.session.answers == [(event, ESME_ROK)]
    assert bench.link.counters.receipts == 1


def test_a_receipt_that_cannot_be_stored_is_asked_for_again() -> None:
    bench = Bench()
    bench.link.on_events(bench.session, [delivered("id:1 stat:DELIVRD")])
    bench.desk.deliveries[0].answer(False)
    assert bench.session.answers[0][1] == ESME_RX_T_APPN


def test_receipts_of_one_read_are_handed_over_together_and_in_order() -> None:
    bench = Bench()
    bench.link.on_events(bench.session, [delivered(f"id:{number} stat:DELIVRD") for number in range(3)])
    assert [receipt.receipt_key for receipt in bench.desk.receipts] == ["0", "1", "2"]


def read(key: str, number: int) -> ReceiptDelivered:
    return ReceiptDelivered(key, SegmentState.DELIVERED, "DELIVRD", "000", number)


def test_receipts_of_the_common_shape_share_one_answer() -> None:
    bench = Bench()
    bench.link.on_events(bench.session, [read("a", 7), read("b", 9)])
    assert bench.session.receipts_answered == []
    (delivery,) = bench.desk.deliveries
    assert [receipt.receipt_key for receipt in delivery.receipts] == ["a", "b"]
    delivery.answer(True)
    delivery.answer(False)
    assert bench.session.receipts_answered == [([7, 9], ESME_ROK), ([7, 9], ESME_RX_T_APPN)]
    assert bench.link.counters.receipts == 2


def test_the_order_of_receipts_holds_whatever_their_shapes() -> None:
    bench = Bench()
    bench.link.on_events(bench.session, [read("a", 1), delivered("id:b stat:DELIVRD"), read("c", 3)])
    assert [receipt.receipt_key for receipt in bench.desk.receipts] == ["a", "b", "c"]
    assert bench.link.counters.receipts == 3


def test_a_data_sm_may_be_a_receipt_too() -> None:
    bench = Bench()
    pdu = DataSm("", PHONE, SOURCE, RECEIPT, tlvs={0x001E: b"77\0", 0x0427: b"\x02"})
    bench.link.on_events(bench.session, [Delivered(pdu, 5)])
    assert bench.desk.receipts[0].receipt_key == "77"


def test_a_message_from_a_handset_is_counted_and_answered_when_it_is_taken() -> None:
    bench = Bench()
    bench.link.on_events(bench.session, [delivered("hello", esm_class=0)])
    assert bench.session.answers == []
    (inbound,) = bench.desk.inbounds
    assert (inbound.segment.account, inbound.segment.octets) == ("esme@127.0.0.1:2775", b"hello")
    inbound.answer(True)
    inbound.answer(False)
    assert [status for _, status in bench.session.answers] == [ESME_ROK, ESME_RX_T_APPN]
    assert bench.desk.deliveries == []
    assert bench.link.counters.inbound == 1


def test_a_receipt_without_an_id_is_refused_for_good_and_the_rest_goes_on() -> None:
    bench = Bench()
    bench.link.on_events(bench.session, [delivered("stat:DELIVRD"), delivered("id:1 stat:DELIVRD")])
    assert [status for _, status in bench.session.answers] == [ESME_RX_P_APPN]
    assert len(bench.desk.deliveries) == 1
    assert bench.link.counters.receipts_bad == 1

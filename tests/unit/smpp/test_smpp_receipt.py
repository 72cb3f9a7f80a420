"""Receipts: the golden file of the field's habits, the text opt-in, and the promise about any bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpp_strategies import DELIVERS

from smsproxy.domain.address import Address
from smsproxy.domain.record import SegmentState
from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import decode, encode
from smsproxy.smpp.errors import BadPduError
from smsproxy.smpp.pdu import DataSm, DeliverSm
from smsproxy.smpp.receipt import parse_receipt, read_receipt_frame, receipt_text
from tests.golden.golden_receipts import CASES, pdu_of


def test_golden_file_is_as_long_as_promised() -> None:
    assert len(CASES) >= 40
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_golden_receipt(case: dict[str, Any]) -> None:
    pdu = pdu_of(case)
    if case.get("bad"):
        with pytest.raises(BadPduError, match="a receipt without") as caught:
            parse_receipt(pdu)
        assert caught.value.command_status == c.ESME_RX_P_APPN
        return
    receipt = parse_receipt(pdu)
    if case.get("none"):
        assert receipt is None
        return
    assert receipt is not None
    assert (receipt.smsc_id, receipt.state.name, receipt.err) == (case["id"], case["state"], case["err"])
    assert receipt.stat == case.get("stat", receipt.stat)
    assert receipt.intermediate == case.get("intermediate", receipt.intermediate)


def by_text(text: bytes) -> SegmentState | None:
    receipt = parse_receipt(DeliverSm(short_message=text), by_text=True)
    return None if receipt is None else receipt.state


def test_text_shape_counts_only_when_the_operator_opted_in() -> None:
    text = receipt_text("1", submit_date="2101010000", done_date="2101010001")
    assert parse_receipt(DeliverSm(short_message=text)) is None
    assert by_text(text) is SegmentState.DELIVERED
    assert by_text(text.replace(b"stat:", b"STAT: ")) is SegmentState.DELIVERED


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"id:1",
        b"id:1 stat:DELIVRD",  # neither count nor date
        b"id:1 stat:SOON done date:2101010001",  # no state of the protocol
        b"my id:1 sub:001 stat:DELIVRD done date:2101010001",  # something before the id
        b"stat:DELIVRD id:1 done date:2101010001",  # the id is not first
        b"id:1 sub:001 DELIVRD done date:2101010001",  # no stat label
    ],
)
def test_text_without_the_whole_shape_stays_an_mo_message(text: bytes) -> None:
    assert by_text(text) is None


def test_text_shape_without_an_id_stays_an_mo_message() -> None:
    assert by_text(b"id: sub:001 stat:DELIVRD done date:2101010001") is None


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1, SegmentState.SUBMITTED),
        (2, SegmentState.DELIVERED),
        (3, SegmentState.EXPIRED),
        (4, SegmentState.UNDELIVERABLE),
        (5, SegmentState.UNDELIVERABLE),
        (6, SegmentState.SUBMITTED),
        (7, SegmentState.UNDELIVERABLE),
        (8, SegmentState.REJECTED),
    ],
)
def test_every_message_state_has_a_segment_state(number: int, state: SegmentState) -> None:
    tlvs = {c.TLV_RECEIPTED_MESSAGE_ID: b"1\0", c.TLV_MESSAGE_STATE: bytes((number,))}
    receipt = parse_receipt(DeliverSm(esm_class=4, tlvs=tlvs))
    assert receipt is not None
    assert receipt.state is state


@given(
    smsc_id=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64).filter(
        lambda text: ":" not in text and "=" not in text and text.strip(",;|") == text
    ),
    stat=st.sampled_from(
        ["DELIVRD", "UNDELIV", "EXPIRED", "REJECTD", "DELETED", "UNKNOWN", "ENROUTE", "ACCEPTD"]
    ),
    err=st.text("0123456789ABCDEF", min_size=1, max_size=4),
    text=st.binary(max_size=20),
    loud=st.booleans(),
)
def test_fast_and_slow_way_read_what_the_simulator_writes(
    smsc_id: str, stat: str, err: str, text: bytes, loud: bool
) -> None:
    octets = receipt_text(smsc_id, stat, err=err, submit_date="2101010000", done_date="2101010001", text=text)
    if loud:  # the labels in capitals take the slow way
        octets = octets.replace(b" stat:", b" STAT:", 1)
    receipt = parse_receipt(DeliverSm(esm_class=4, short_message=octets))
    assert receipt is not None
    assert (receipt.smsc_id, receipt.stat, receipt.err) == (smsc_id, stat, err)


def test_receipt_text_carries_twenty_octets_of_the_message() -> None:
    octets = receipt_text("1", "UNDELIV", err="045", submit_date="a", done_date="b", text=b"x" * 30)
    assert octets == (
        b"id:1 sub:001 dlvrd:000 submit date:a done date:b stat:UNDELIV err:045 text:" + b"x" * 20
    )


# Pieces that the parser looks for, so that random texts reach its corners.
_PIECES = st.sampled_from(
    [
        *(b"id:", b" sub:", b" stat:", b"stat:", b" err:", b"err", b"text:", b" text:"),
        *(b"DELIVRD", b" ", b"\0", b":", b"=", b"1", b"\xff"),
    ]
)


@given(
    text=st.one_of(st.binary(max_size=80), st.lists(_PIECES, max_size=20).map(b"".join)),
    esm_class=st.integers(0, 255),
    tlvs=st.dictionaries(st.sampled_from([0x001E, 0x0423, 0x0424, 0x0427, 0x1400]), st.binary(max_size=30)),
    by_text=st.booleans(),
    as_data=st.booleans(),
)
def test_any_receipt_is_read_or_refused_with_the_named_error(
    text: bytes, esm_class: int, tlvs: dict[int, bytes], by_text: bool, as_data: bool
) -> None:
    pdu: DataSm | DeliverSm = DeliverSm(esm_class=esm_class, short_message=text, tlvs=tlvs)
    if as_data:
        pdu = DataSm(esm_class=esm_class, tlvs=tlvs)
    try:
        receipt = parse_receipt(pdu, by_text=by_text)
    except BadPduError:
        usable = bool(esm_class & 0x24)  # only a PDU flagged as receipt may be refused
    else:
        usable = receipt is None or bool(receipt.smsc_id and receipt.stat)
    assert usable


def read_both_ways(frame: bytes) -> bool:
    """Whether the frame is read without a DeliverSm; what is read is what the long way reads."""
    found = read_receipt_frame(frame)
    if found is None:
        return False
    _, pdu = decode(frame)
    assert isinstance(pdu, DeliverSm)
    receipt = parse_receipt(pdu)
    assert receipt is not None
    assert found == (receipt.smsc_id, receipt.state, receipt.stat, receipt.err)
    return True


COMMON = receipt_text("77", "UNDELIV", err="045", submit_date="2101010000", done_date="2101010001")


def test_a_receipt_of_the_common_shape_is_read_from_its_frame() -> None:
    addresses = Address(1, 1, "998901234567"), Address(5, 0, "SENDER")
    assert read_both_ways(encode(DeliverSm("", *addresses, 4, short_message=COMMON), 9))
    assert read_both_ways(encode(DeliverSm("VMA", short_message=COMMON, esm_class=0x44), 9))


@pytest.mark.parametrize(
    "pdu",
    [
        DeliverSm(short_message=COMMON),
        DeliverSm(esm_class=0x20, short_message=COMMON),
        DeliverSm(esm_class=4, short_message=b"id:1 stat:DELIVRD"),
        DeliverSm(esm_class=4, short_message=COMMON, tlvs={0x0427: b"\x02"}),
        DeliverSm(esm_class=4, short_message=COMMON, schedule_delivery_time="2101010000000000"[:16]),
        DeliverSm(esm_class=4, short_message=COMMON, validity_period="2101010000000000"[:16]),
        DeliverSm(esm_class=4),
    ],
)
def test_any_other_delivery_goes_the_long_way(pdu: DeliverSm) -> None:
    assert not read_both_ways(encode(pdu, 9))


@given(
    pdu=DELIVERS, text=st.just(COMMON) | st.lists(_PIECES, max_size=20).map(b"".join), flagged=st.booleans()
)
def test_both_ways_read_the_same_of_any_delivery(pdu: DeliverSm, text: bytes, flagged: bool) -> None:
    pdu.short_message = text
    pdu.esm_class = 4 if flagged else pdu.esm_class
    read_both_ways(encode(pdu, 9))


@given(cut=st.integers(16, 200), changed=st.integers(16, 199), octet=st.integers(0, 255))
def test_both_ways_read_the_same_of_a_damaged_receipt(cut: int, changed: int, octet: int) -> None:
    frame = bytearray(
        encode(DeliverSm("", Address(1, 1, "9"), Address(1, 1, "8"), 4, short_message=COMMON), 9)
    )
    frame[min(changed, len(frame) - 1)] = octet
    frame = frame[:cut]
    frame[:4] = len(frame).to_bytes(4, "big")
    read_both_ways(bytes(frame))

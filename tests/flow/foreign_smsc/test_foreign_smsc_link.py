"""Our links against smpp34: they bind, a long message goes over, its receipts come back and match."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import smpp34
from foreign_smsc import ForeignSmsc, until

from smsproxy.domain.outcome import Accepted, Refused
from smsproxy.domain.record import SegmentState
from smsproxy.text.segmentation import segment
from tests.flow.links.links_flow_kit import LiveLink
from tests.unit.links.links_kit import APP, Message


@pytest_asyncio.fixture
async def foreign() -> AsyncIterator[ForeignSmsc]:
    async with ForeignSmsc() as foreign:
        yield foreign


async def test_a_long_message_goes_over_and_its_receipts_come_back(foreign: ForeignSmsc) -> None:
    async with LiveLink(foreign.port) as live:
        await live.bound()
        assert live.link.smsc_system_id == "smpp34"
        message = live.offer(parts=4)
        await until(lambda: message.ended and len(live.desk.receipts) == 4)
        for number, outcome in message.outcomes.items():
            assert isinstance(outcome, Accepted)
            assert foreign.taken[outcome.smsc_id].short_message[5] == number
        receipts = live.desk.receipts
        assert {receipt.receipt_key for receipt in receipts} == set(foreign.taken)
        assert {receipt.state for receipt in receipts} == {SegmentState.DELIVERED}
        assert foreign.receipt_answers == []
        for delivery in live.desk.deliveries:
            delivery.answer(True)
        await until(lambda: foreign.receipt_answers == [0] * 4)
    await until(foreign.unbound.is_set)


async def test_it_reads_our_segments_as_we_meant_them(foreign: ForeignSmsc) -> None:
    async with LiveLink(foreign.port, service_type="VMA", tlvs={"0x1400": "hi"}) as live:
        await live.bound()
        message = live.offer(parts=3)
        await until(lambda: message.ended)
        segments = sorted(foreign.submits, key=lambda submit: submit.short_message[5])
        for number, submit in enumerate(segments, 1):
            assert (submit.source_addr_ton, submit.source_addr) == (5, "MYBRAND")
            assert (submit.dest_addr_ton, submit.dest_addr_npi) == (1, 1)
            assert submit.destination_addr == "998901234567"
            assert (submit.esm_class, submit.registered_delivery) == (0x40, 1)
            assert submit.service_type == "VMA"
            assert submit.short_message[4:6] == bytes((3, number))
            assert submit.short_message[6:] == b"x" * 153
            assert [(tlv.tag, tlv.value) for tlv in submit.tlvs] == [(0x1400, b"hi")]


async def test_sar_segments_carry_their_tlvs(foreign: ForeignSmsc) -> None:
    async with LiveLink(foreign.port, long_messages="sar") as live:
        await live.bound()
        message = Message("m", 2, APP)
        message.text = segment("x" * 300, live.link.text_options)
        live.link.offer(message)
        await until(lambda: message.ended)
        found = [{tlv.tag: tlv.as_int() for tlv in submit.tlvs} for submit in foreign.submits]
        assert {one[smpp34.TLV_SAR_SEGMENT_SEQNUM] for one in found} == {1, 2}
        assert {one[smpp34.TLV_SAR_TOTAL_SEGMENTS] for one in found} == {2}
        assert len({one[smpp34.TLV_SAR_MSG_REF_NUM] for one in found}) == 1


async def test_what_it_refuses_is_refused_with_its_status(foreign: ForeignSmsc) -> None:
    foreign.verdict = lambda _: smpp34.ESME_RINVDSTADR
    async with LiveLink(foreign.port) as live:
        await live.bound()
        message = live.offer()
        await until(lambda: message.ended)
        outcome = message.outcomes[1]
        assert isinstance(outcome, Refused)
        assert outcome.text == "ESME_RINVDSTADR 0x0000000B"


@pytest.mark.parametrize("bind", ["transceiver", "transmitter_receiver"])
async def test_a_full_window_of_many_messages_is_answered_to_the_last(
    foreign: ForeignSmsc, bind: str
) -> None:
    async with LiveLink(foreign.port, bind=bind, window=10, registered_delivery="none") as live:
        await live.bound()
        messages = [live.offer(parts=2, name=f"{number}") for number in range(100)]
        await until(lambda: all(message.ended for message in messages))
        assert {end for message in messages for end in message.ends} == {"Accepted"}
        assert len(foreign.taken) == 200


async def test_enquire_links_are_answered_both_ways(foreign: ForeignSmsc) -> None:
    async with LiveLink(foreign.port, enquire_link_s=0.05, response_timeout_s=1) as live:
        await live.bound()
        message = live.offer()
        await until(lambda: message.ended and live.desk.deliveries)
        live.desk.deliveries[0].answer(True)
        await until(lambda: foreign.receipt_answers)
        assert live.log.events == ["link_bound"]

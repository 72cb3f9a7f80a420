"""Problems 11-20 of users of other gateways: receipts too many, too odd, or not seen as receipts at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from field_kit import PHONE, Gateway, gateway, until

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import SegmentState
from smsproxy.simulator.script import Rule
from tests.flow.links.links_flow_kit import LiveLink
from tests.flow.links.links_flow_kit import until as until_live
from tests.flow.links.raw_smsc import RawSmsc, receipt_body

LABELS = "id:{id} sub:001 dlvrd:001 submit date:{submit} done date:{done} stat:{stat} err:{err} text:{text}"


async def ended_by_receipt(
    folder: Path, template: str, state: str = "DELIVRD", **script: object
) -> tuple[SegmentState, str]:
    """The state and the reason that a receipt with this text leaves behind; the SMSC hears ok."""
    forms = {"receipt_form": "text", "receipt_template": template, "receipt_states": (state,)}
    async with gateway(folder, **{**forms, **script}) as gate:
        (segment,) = (await gate.settled(await gate.taken())).segments
        await until(lambda: gate.smsc.counters.delivers_ok == 1)
        return segment.state, segment.reason


# --- 11: many at once ------------------------------------------------------------------------------------


async def test_ten_thousand_receipts_while_the_store_is_slow_stall_nothing_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {"receipt_form": "text", "receipt_window": 100_000}
    async with gateway(tmp_path, **script) as gate:
        await gate.delivered(await gate.taken())
        back = hold_receipts(gate, monkeypatch)
        for number in range(10_000):
            gate.smsc.send_receipt(f"x{number}")
        await until(lambda: gate.link.counters.receipts == 10_001)
        await gate.taken("sent meanwhile")  # the link goes on, in both directions
        assert gate.smsc.counters.delivers_ok == 1
        back.set()
        await until(lambda: gate.smsc.counters.delivers_ok >= 10_002)
        assert gate.smsc.counters.delivers_repeated == 0


def hold_receipts(gate: Gateway, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The store takes no receipt until the event is set."""
    back = asyncio.Event()
    receive = gate.app.store.receive

    async def receive_later(receipts: Sequence[Receipt]) -> None:
        await back.wait()
        await receive(receipts)

    monkeypatch.setattr(gate.app.store, "receive", receive_later)
    return back


# --- 12-16: what is in them ------------------------------------------------------------------------------


async def test_a_receipt_without_sub_and_dlvrd_is_read(tmp_path: Path) -> None:
    template = "id:{id} submit date:{submit} done date:{done} stat:{stat} err:{err}"
    assert await ended_by_receipt(tmp_path, template) == (SegmentState.DELIVERED, "")


async def test_a_receipt_of_nothing_but_id_and_stat_is_read(tmp_path: Path) -> None:
    assert await ended_by_receipt(tmp_path, "id:{id} stat:{stat}") == (SegmentState.DELIVERED, "")


@pytest.mark.parametrize("err", ["0000", "45", "ABS", "0x1F"])
async def test_an_err_that_is_no_three_digit_number_is_shown_as_it_came(tmp_path: Path, err: str) -> None:
    ended = await ended_by_receipt(tmp_path, LABELS, "UNDELIV", receipt_err=err)
    assert ended == (SegmentState.UNDELIVERABLE, f"UNDELIV err:{err}")


@pytest.mark.parametrize("date", ["180903120816", "180711070003912+", "2018-09-03 12:08:16", "never", ""])
async def test_odd_dates_do_not_cost_the_receipt(tmp_path: Path, date: str) -> None:
    template = LABELS.replace("{submit}", date).replace("{done}", date)
    assert await ended_by_receipt(tmp_path, template) == (SegmentState.DELIVERED, "")


async def test_a_receipt_without_the_label_of_its_state_is_read(tmp_path: Path) -> None:
    template = "id:{id} sub:001 dlvrd:001 submit date:{submit} done date:180903120816 {stat} err:{err}"
    assert await ended_by_receipt(tmp_path, template) == (SegmentState.DELIVERED, "")


@pytest.mark.parametrize("form", ["tlv", "payload", "text", "text_tlv"])
async def test_a_receipt_is_read_wherever_the_smsc_writes_it(tmp_path: Path, form: str) -> None:
    assert await ended_by_receipt(tmp_path, "", receipt_form=form) == (SegmentState.DELIVERED, "")


async def test_where_text_and_tlv_contradict_each_other_the_tlv_counts(tmp_path: Path) -> None:
    ended = await ended_by_receipt(tmp_path, "id:other{id} stat:UNDELIV", receipt_form="text_tlv")
    assert ended == (SegmentState.DELIVERED, "")


# --- 17: what is one -------------------------------------------------------------------------------------


async def test_a_receipt_that_only_its_tlv_gives_away_is_read(tmp_path: Path) -> None:
    ended = await ended_by_receipt(tmp_path, "", receipt_form="tlv", receipt_esm_class=0)
    assert ended == (SegmentState.DELIVERED, "")


async def test_a_text_from_a_handset_that_reads_like_a_receipt_settles_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path, receipts="never") as gate:
        answer = await gate.taken()
        quoted = f"id:{answer.smsc_ids[0]} sub:001 dlvrd:001 done date:2611210601 stat:UNDELIV err:045"
        gate.smsc.send_mo(PHONE, "100", quoted)
        await until(lambda: gate.smsc.counters.delivers_ok == 1)
        gate.smsc.send_receipt(answer.smsc_ids[0])
        await gate.delivered(answer)


async def test_a_receipt_that_only_its_text_gives_away_is_read_where_the_link_says_so(
    tmp_path: Path,
) -> None:
    script = {"receipt_form": "text", "receipt_esm_class": 0}
    async with gateway(tmp_path, link={"receipt_by_text": True}, **script) as gate:
        await gate.delivered(await gate.taken())
        gate.smsc.send_mo(PHONE, "100", "my id:1 is stat:DELIVRD")
        await until(lambda: gate.smsc.counters.delivers_ok == 2)
        assert gate.link.counters.receipts == 1


# --- 18-20 -----------------------------------------------------------------------------------------------


async def test_enroute_before_and_after_delivrd_does_not_hide_the_delivery(tmp_path: Path) -> None:
    around = {"receipts_before": ("ENROUTE", "ACCEPTD"), "receipts_after": ("ENROUTE", "UNDELIV")}
    async with gateway(tmp_path, receipt_repeats=2, **around) as gate:
        answer = await gate.taken()
        await until(lambda: gate.smsc.counters.delivers_ok == 7)
        await gate.delivered(answer)


async def test_a_receipt_as_data_sm_is_read_and_answered(tmp_path: Path) -> None:
    assert await ended_by_receipt(tmp_path, "", receipt_command="data_sm") == (SegmentState.DELIVERED, "")


@pytest.mark.parametrize(
    "tlvs",
    [
        "1400000301FFFF",  # of a vendor
        "0005000101",  # known, but not for a deliver_sm: dest_addr_subunit
        "0427000400000002",  # message_state of four octets
        "1401FFFF41",  # a length beyond the PDU
        "14",  # not even a tag
    ],
)
async def test_tlvs_that_kill_other_gateways_cost_neither_the_receipt_nor_the_session(tlvs: str) -> None:
    async with RawSmsc() as smsc, LiveLink(smsc.port) as live:
        session = await smsc.next_bound()
        await live.bound()
        session.send("deliver_sm", 9, receipt_body("77") + bytes.fromhex(tlvs))
        await until_live(lambda: live.desk.deliveries)
        assert live.desk.receipts[0].state is SegmentState.DELIVERED
        live.desk.deliveries[0].answer(True)
        assert (await session.next("deliver_sm_resp")).number == 9
        assert live.log.events == ["link_bound"]


async def test_the_last_character_of_an_id_without_a_nul_is_not_lost() -> None:
    async with RawSmsc() as smsc, LiveLink(smsc.port) as live:
        session = await smsc.next_bound()
        await live.bound()
        session.send("deliver_sm", 9, receipt_body("other") + bytes.fromhex("001E0006") + b"ABC123")
        await until_live(lambda: live.desk.deliveries)
        assert live.desk.receipts[0].receipt_key == "ABC123"


async def test_a_part_whose_receipt_never_comes_does_not_hold_the_others_back(tmp_path: Path) -> None:
    async with gateway(tmp_path, Rule(do="receipt", state="", segment_no=2)) as gate:
        answer = await gate.taken("A long message. " * 25)
        await until(lambda: gate.smsc.counters.delivers_ok == 2)
        record = await gate.record(answer)
        states = [segment.state for segment in record.segments]
        assert states == [SegmentState.DELIVERED, SegmentState.SUBMITTED, SegmentState.DELIVERED]

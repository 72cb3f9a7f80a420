"""Receipts in every form, read back by smpplib, and the ids they name."""

from __future__ import annotations

import pytest
from simulator_kit import talking, text_of

from smsproxy.simulator.ids import SmscIds, written
from smsproxy.simulator.script import IdFormat, Rule
from smsproxy.smpp.constants import ESME_RINVDSTADR


async def test_a_receipt_can_be_text_alone() -> None:
    async with talking(receipt_form="text") as (_, esme):
        esme.submit()
        _, receipt = await esme.expect_all("submit_sm_resp", "deliver_sm")
        assert text_of(receipt).startswith("id:")
        assert receipt.receipted_message_id is None
        assert receipt.message_state is None


async def test_a_receipt_can_be_tlvs_alone() -> None:
    async with talking(receipt_form="tlv", receipt_states=("REJECTD",)) as (_, esme):
        esme.submit()
        answer, receipt = await esme.expect_all("submit_sm_resp", "deliver_sm")
        assert receipt.short_message == b""
        assert receipt.message_payload is None
        assert receipt.receipted_message_id == answer.message_id
        assert receipt.message_state == 8


async def test_a_receipt_can_be_in_the_payload_alone() -> None:
    async with talking(receipt_form="payload") as (_, esme):
        esme.submit()
        _, receipt = await esme.expect_all("submit_sm_resp", "deliver_sm")
        assert receipt.short_message == b""
        assert receipt.message_payload.startswith(b"id:")
        assert receipt.receipted_message_id is None


async def test_a_receipt_can_be_a_data_sm() -> None:
    async with talking(receipt_command="data_sm") as (smsc, esme):
        esme.submit()
        answer, receipt = await esme.expect_all("submit_sm_resp", "data_sm")
        assert receipt.esm_class == 4
        assert receipt.receipted_message_id == answer.message_id
        assert receipt.message_payload.startswith(b"id:" + answer.message_id)
        await smsc.wait_for(lambda seen: seen.delivers_ok == 1)
        assert [entry.command for entry in smsc.truth.receipts()] == ["data_sm"]


async def test_a_receipt_can_have_any_text_error_and_esm_class() -> None:
    template = "Id={id}, State={stat} Error={err} {submit} {done} {text}"
    async with talking(receipt_template=template, receipt_err="045", receipt_esm_class=0) as (_, esme):
        esme.submit(b"Hello, how are you today?")
        answer, receipt = await esme.expect_all("submit_sm_resp", "deliver_sm")
        smsc_id, *_, told = text_of(receipt).split(" ", 4)
        assert smsc_id == f"Id={answer.message_id.decode()},"
        assert "State=DELIVRD Error=045" in text_of(receipt)
        assert told.endswith("Hello, how are you t")
        assert receipt.esm_class == 0


async def test_a_receipt_too_long_for_a_short_message_goes_in_the_payload() -> None:
    async with talking(receipt_template="{id}" + "x" * 300) as (_, esme):
        esme.submit()
        _, receipt = await esme.expect_all("submit_sm_resp", "deliver_sm")
        assert len(receipt.message_payload) > 300


async def test_a_state_of_its_own_making_has_no_number() -> None:
    async with talking(receipt_states=("STRANGE",)) as (_, esme):
        esme.submit()
        answer, receipt = await esme.expect_all("submit_sm_resp", "deliver_sm")
        assert "stat:STRANGE" in text_of(receipt)
        assert receipt.message_state is None
        esme.send("query_sm", source_addr="MYBRAND", message_id=answer.message_id.decode())
        assert (await esme.expect("query_sm_resp")).message_state == 7


async def test_intermediate_repeated_and_late_receipts_come_in_order() -> None:
    script = {"receipts_before": ("ENROUTE",), "receipts_after": ("EXPIRED",), "receipt_repeats": 1}
    async with talking(**script) as (smsc, esme):
        esme.submit()
        await esme.expect_all("submit_sm_resp", *["deliver_sm"] * 4)
        assert [pdu.message_state for pdu in esme.delivered] == [1, 2, 2, 3]
        assert [pdu.esm_class for pdu in esme.delivered] == [0x20, 4, 4, 4]
        assert [entry.state for entry in smsc.truth.receipts()] == [
            "ENROUTE",
            "DELIVRD",
            "DELIVRD",
            "EXPIRED",
        ]


async def test_receipts_of_a_segment_can_be_spaced() -> None:
    async with talking(receipt_repeats=2, receipt_spacing_s=0.01) as (smsc, esme):
        esme.submit()
        await esme.expect_all("submit_sm_resp", *["deliver_sm"] * 3)
        (submit,) = smsc.truth.submits()
        waits = [entry.at - submit.at for entry in smsc.truth.receipts()]
        assert waits[1] > 0.009
        assert waits[2] > 0.019


@pytest.mark.parametrize("delay_s", [0.0, 0.02])
async def test_a_receipt_can_come_before_the_answer(delay_s: float) -> None:
    async with talking(early_receipt_share=1.0, early_receipt_s=0.01, answer_delay_s=delay_s) as (_, esme):
        esme.submit()
        receipt, answer = await esme.expect_all("deliver_sm", "submit_sm_resp")
        assert receipt.receipted_message_id == answer.message_id


async def test_an_early_receipt_with_no_head_start_is_still_first() -> None:
    async with talking(early_receipt_share=1.0, answer_delay_s=0.01) as (_, esme):
        esme.submit()
        await esme.expect_all("deliver_sm", "submit_sm_resp")


async def test_receipts_can_go_to_another_system_id() -> None:
    async with talking(receipt_system_id="sibling") as (smsc, esme):
        esme.submit()
        await esme.expect("submit_sm_resp")
        await esme.assert_quiet()
        sibling = await esme.bound(smsc.port, system_id="sibling")
        await sibling.expect("deliver_sm")


async def test_receipts_for_one_system_id_too_many_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smsproxy.simulator.account.MAX_ACCOUNTS", 1)
    async with talking(receipt_system_id="sibling") as (smsc, esme):
        esme.submit()
        await esme.expect("submit_sm_resp")
        await esme.assert_quiet()
        assert smsc.counters.delivers_dropped == 1


# -- ids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "receipt", "ids"),
    [
        ("decimal", "", ("3735928559", "3735928559")),
        ("hex", "decimal", ("deadbeef", "3735928559")),
        ("decimal", "hex", ("3735928559", "deadbeef")),
        ("decimal", "hex_upper", ("3735928559", "DEADBEEF")),
        ("hex", "hex_upper", ("deadbeef", "DEADBEEF")),
        ("padded_hex", "hex", ("00000000deadbeef", "deadbeef")),
        ("padded_hex_upper", "padded_hex", ("00000000DEADBEEF", "00000000deadbeef")),
        ("padded_decimal", "decimal", ("00000000003735928559", "3735928559")),
        ("uuid", "", ("00000000-0000-4000-8000-0000deadbeef",) * 2),
    ],
)
async def test_response_and_receipt_write_the_same_id_each_in_its_own_way(
    response: IdFormat, receipt: IdFormat, ids: tuple[str, str]
) -> None:
    script = {"id_format": response, "receipt_id_format": receipt, "first_id": 0xDEADBEEF}
    async with talking(**script) as (_, esme):
        esme.submit()
        answer, told = await esme.expect_all("submit_sm_resp", "deliver_sm")
        assert answer.message_id.decode() == ids[0]
        assert told.receipted_message_id.decode() == ids[1]
        assert text_of(told).startswith(f"id:{ids[1]} ")


def test_ids_above_63_bits_keep_every_digit() -> None:
    ids = SmscIds(2**64 - 1, now=0)
    assert written(ids.take(), "decimal", "hex") == ("18446744073709551615", "ffffffffffffffff")
    assert written(ids.take(), "decimal", "")[0] == "18446744073709551616"


def test_a_restarted_simulator_goes_on_above_the_ids_it_gave() -> None:
    before = SmscIds(0, now=1_700_000_000.0)
    last = [before.take() for _ in range(1000)][-1]
    assert SmscIds(0, now=1_700_000_001.0).take() > last


async def test_refused_submits_use_no_id() -> None:
    rule = Rule(do="error", status=ESME_RINVDSTADR, every=2)
    async with talking(rule, first_id=10, receipts="never") as (_, esme):
        ids = []
        for _ in range(3):
            esme.submit()
            ids.append((await esme.expect("submit_sm_resp")).message_id)
        assert ids == [b"10", None, b"11"]

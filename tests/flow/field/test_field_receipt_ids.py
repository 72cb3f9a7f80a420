"""Problems 1-10 of users of other gateways: a receipt that does not find its message."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from field_kit import an_smsc, daemon, gateway

from smsproxy.domain.outcome import Status
from smsproxy.domain.record import SegmentState
from smsproxy.links import throttle
from smsproxy.simulator.script import Rule

LONG = "A long message. " * 25
RTHROTTLED = 0x58


async def assert_met(folder: Path, response: str, receipt: str, rule: str, first_id: int) -> None:
    """What an SMSC with these habits takes reads DELIVERED."""
    script = {"id_format": response, "receipt_id_format": receipt, "first_id": first_id}
    async with gateway(folder, link={"receipt_id": rule}, **script) as gate:
        answers = await asyncio.gather(*(gate.taken(daddr=f"99890{number:07d}") for number in range(20)))
        await gate.delivered(*answers)


@pytest.mark.parametrize("receipt", ["decimal", "padded_decimal"])
@pytest.mark.parametrize("response", ["hex", "hex_upper", "padded_hex", "padded_hex_upper"])
async def test_an_id_that_is_hex_in_the_answer_and_decimal_in_the_receipt_meets(
    tmp_path: Path, response: str, receipt: str
) -> None:
    await assert_met(tmp_path, response, receipt, "hex_response_decimal_receipt", 0xAB00FF)


@pytest.mark.parametrize("receipt", ["hex", "hex_upper", "padded_hex", "padded_hex_upper"])
async def test_an_id_that_is_decimal_in_the_answer_and_hex_in_the_receipt_meets(
    tmp_path: Path, receipt: str
) -> None:
    await assert_met(tmp_path, "decimal", receipt, "decimal_response_hex_receipt", 0xAB00FF)


@pytest.mark.parametrize(
    ("response", "receipt"),
    [("padded_hex_upper", "hex_upper"), ("hex", "padded_hex"), ("decimal", "padded_decimal")],
)
async def test_leading_zeros_lost_on_one_side_lose_no_receipt(
    tmp_path: Path, response: str, receipt: str
) -> None:
    await assert_met(tmp_path, response, receipt, "hex", 0xB8BE19)


@pytest.mark.parametrize("form", ["padded_hex", "padded_decimal", "uuid"])
async def test_padded_ids_and_uuids_are_shown_to_the_caller_as_the_smsc_wrote_them(
    tmp_path: Path, form: str
) -> None:
    async with gateway(tmp_path, id_format=form, first_id=7) as gate:
        answer = await gate.taken()
        await gate.delivered(answer)
        assert [answer.smsc_ids] == [(entry.smsc_id,) for entry in gate.smsc.truth.submits()]


@pytest.mark.parametrize("rule", ["raw", "hex", "hex_response_decimal_receipt"])
async def test_an_id_that_is_no_number_meets_under_every_rule(tmp_path: Path, rule: str) -> None:
    async with gateway(tmp_path, link={"receipt_id": rule}, id_format="uuid") as gate:
        await gate.delivered(await gate.taken())


async def test_ids_of_64_bits_do_not_overflow(tmp_path: Path) -> None:
    await assert_met(tmp_path, "hex", "decimal", "hex_response_decimal_receipt", 9380935605053030457)


async def test_a_receipt_long_before_the_answer_is_not_lost_and_not_retried_for_ever(tmp_path: Path) -> None:
    script = {"answer_delay_s": 0.3, "early_receipt_share": 1.0, "early_receipt_s": 0.3}
    async with gateway(tmp_path, **script) as gate:
        answer = await gate.taken(LONG)
        await gate.delivered(answer)
        assert gate.app.store.counters["receipts_parked"] == 3
        assert gate.smsc.counters.delivers_repeated == 0


async def test_receipts_that_come_on_another_link_of_the_account_settle_the_message(tmp_path: Path) -> None:
    async with an_smsc() as smsc:
        other = {"host": "127.0.0.1", "port": smsc.port, "system_id": "flow", "password": "secret"}
        async with daemon(tmp_path, smsc, links_101=other) as gate:
            answers = await asyncio.gather(*(gate.taken(daddr=f"99890{n:07d}") for n in range(20)))
            await gate.delivered(*answers)
            both = gate.app.links.directory.links
            assert both[100].counters.submits == 20
            assert both[101].counters.receipts == 10  # the SMSC takes turns over the account's sessions


async def test_a_receipt_that_comes_after_a_restart_settles_the_message(tmp_path: Path) -> None:
    store = {"url": "sqlite:./store.db"}
    async with an_smsc(receipts="never") as smsc:
        async with daemon(tmp_path, smsc, store=store) as gate:
            answer = await gate.taken()
        smsc.send_receipt(answer.smsc_ids[0], system_id="flow")
        async with daemon(tmp_path, smsc, store=store) as gate:
            await gate.delivered(answer)


@pytest.mark.parametrize("asked", ["all", "last"])
async def test_every_part_of_a_long_message_has_its_state_though_receipts_come_in_any_order(
    tmp_path: Path, asked: str
) -> None:
    async with gateway(tmp_path, link={"registered_delivery": asked}, receipt_jitter_s=0.1) as gate:
        answer = await gate.taken(LONG)
        record = await gate.settled(answer)
        assert [segment.state for segment in record.segments] == [SegmentState.DELIVERED] * 3
        assert gate.smsc.counters.receipts == (3 if asked == "all" else 1)


async def test_one_undelivered_part_is_seen_whichever_part_it_is(tmp_path: Path) -> None:
    async with gateway(tmp_path, Rule(do="receipt", state="UNDELIV", segment_no=1)) as gate:
        record = await gate.settled(await gate.taken(LONG))
        states = [segment.state for segment in record.segments]
        assert states == [SegmentState.UNDELIVERABLE, SegmentState.DELIVERED, SegmentState.DELIVERED]
        assert record.status is SegmentState.UNDELIVERABLE


async def test_the_ids_of_all_parts_are_returned_in_the_order_of_the_parts(tmp_path: Path) -> None:
    late_first = Rule(do="late", after_s=0.1, segment_no=1)
    async with gateway(tmp_path, late_first) as gate:
        answer = await gate.taken(LONG)
        (text,) = gate.smsc.truth.texts()
        assert list(answer.smsc_ids) == text.smsc_ids
        await gate.delivered(answer)


async def test_a_message_throttled_first_still_gets_its_receipts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "FIRST_PAUSE_S", 0.05)
    async with gateway(tmp_path, Rule(do="error", status=RTHROTTLED, segment_no=2, at_most=1)) as gate:
        answer = await gate.taken(LONG)
        await gate.delivered(answer)
        assert gate.smsc.counters.submits == 4


async def test_an_answer_that_came_too_late_still_meets_its_receipt_and_nothing_is_sent_twice(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, Rule(do="late", after_s=0.4), link={"response_timeout_s": 0.1}) as gate:
        answer = await gate.send(transaction_id="otp-1")
        assert answer.status is Status.UNKNOWN
        again = await gate.send(transaction_id="otp-1")
        assert (again.status, again.repeated) == (Status.UNKNOWN, True)
        await gate.delivered(answer)
        assert gate.smsc.counters.submits == 1

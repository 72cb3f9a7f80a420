"""Every fault a script can have, as a foreign ESME meets it on the wire."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from simulator_kit import HANDSET, WAIT_S, ForeignEsme, simulator, talking
from smpplib import consts

from smsproxy.aio.loop import loop_factory
from smsproxy.simulator.script import STATUS_CODES, Rule
from smsproxy.smpp.constants import ESME_RINVDSTADR, ESME_RMSGQFUL, ESME_RTHROTTLED, ESME_RX_T_APPN

# -- binds and connections --------------------------------------------------------------------------------


async def test_a_bind_is_refused_with_the_status_of_the_script() -> None:
    async with simulator(bind_status=STATUS_CODES["ESME_RALYBND"]) as smsc:
        esme = await ForeignEsme.connect(smsc.port)
        assert (await esme.bind()).status == consts.SMPP_ESME_RALYBND
        assert (smsc.counters.binds, smsc.counters.binds_refused) == (0, 1)


async def test_a_silent_bind_is_never_answered() -> None:
    async with simulator(bind_silent=True) as smsc:
        esme = await ForeignEsme.connect(smsc.port)
        esme.send("bind_transceiver", system_id="esme", password="x")
        await esme.assert_quiet()
        assert smsc.counters.bound == 0


async def test_a_port_that_refuses_keeps_its_sessions_and_opens_again_with_its_number() -> None:
    async with talking() as (smsc, esme):
        smsc.script = replace(smsc.script, refuse_connections=True)
        with pytest.raises(ConnectionRefusedError):
            await ForeignEsme.connect(smsc.port)
        await esme.assert_quiet()
        smsc.script = replace(smsc.script, refuse_connections=False)
        await ForeignEsme.bound(smsc.port)
        assert smsc.counters.bound == 2


async def test_a_port_can_refuse_from_the_start() -> None:
    async with simulator(refuse_connections=True) as smsc:
        with pytest.raises(ConnectionRefusedError):
            await ForeignEsme.connect(smsc.port)
        smsc.script = replace(smsc.script, refuse_connections=False)
        await ForeignEsme.bound(smsc.port)


async def test_a_session_is_reset_at_its_nth_submit_and_the_next_session_again() -> None:
    async with simulator(cut_after_submits=2) as smsc:
        for _ in range(2):
            esme = await ForeignEsme.bound(smsc.port)
            esme.submit(b"one", receipt=0)
            await esme.expect("submit_sm_resp")
            esme.submit(b"two", receipt=0)
            assert await esme.end() == "reset"
        assert (smsc.counters.cuts, smsc.counters.taken, smsc.counters.silent) == (2, 2, 2)
        assert [(entry.text, entry.answer) for entry in smsc.truth.submits()] == [
            ("one", 0),
            ("two", None),
        ] * 2


async def test_all_sessions_can_be_reset_at_once() -> None:
    async with talking() as (smsc, first):
        second = await ForeignEsme.bound(smsc.port, system_id="other")
        assert smsc.cut_all() == 2
        assert [await first.end(), await second.end()] == ["reset", "reset"]
        await smsc.wait_for(lambda seen: seen.sessions == 0)
        assert smsc.cut_all() == 0


async def test_an_answer_due_after_the_cut_is_counted_as_lost_and_its_receipt_still_comes() -> None:
    async with talking(answer_delay_s=0.05) as (smsc, esme):
        esme.submit()
        await smsc.wait_for(lambda seen: seen.submits == 1)
        smsc.cut_all()
        await smsc.wait_for(lambda seen: seen.answers_lost == 1)
        again = await ForeignEsme.bound(smsc.port)
        await again.expect("deliver_sm")


async def test_unbind_comes_after_the_answer_to_the_nth_submit() -> None:
    async with talking(unbind_after_submits=2, receipts="never", answer_delay_s=0.001) as (smsc, esme):
        esme.submit()
        await esme.expect("submit_sm_resp")
        esme.submit()
        _, request = await esme.expect_all("submit_sm_resp", "unbind")
        esme.send("unbind_resp", sequence=request.sequence)
        assert await esme.end() == "closed"
        assert smsc.counters.taken == 2


async def test_a_deaf_session_reads_and_writes_nothing_until_it_hears_again() -> None:
    async with talking(answer_delay_s=0.05) as (smsc, esme):
        esme.submit()
        await smsc.wait_for(lambda seen: seen.submits == 1)
        smsc.script = replace(smsc.script, deaf=True)
        await smsc.wait_for(lambda seen: seen.receipts == 1)  # due, but not written
        assert "deaf held=2" in repr(smsc.sessions[0]._wire)
        number = esme.send("enquire_link")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await esme.read()
        assert smsc.counters.enquire_links == 0
        smsc.script = replace(smsc.script, deaf=False)
        seen = {(pdu.command, pdu.sequence) for pdu in [await esme.read() for _ in range(3)]}
        assert ("enquire_link_resp", number) in seen
        assert {command for command, _ in seen} == {"submit_sm_resp", "enquire_link_resp", "deliver_sm"}


async def test_a_session_that_connects_to_a_deaf_simulator_hears_nothing() -> None:
    async with simulator(deaf=True) as smsc:
        esme = await ForeignEsme.connect(smsc.port)
        esme.send("bind_transceiver", system_id="esme", password="x")
        await smsc.wait_for(lambda seen: seen.sessions == 1)
        smsc.script = replace(smsc.script, deaf=False)
        await esme.expect("bind_transceiver_resp")


async def test_what_a_deaf_session_is_to_write_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smsproxy.simulator.wire.MAX_HELD", 2)
    async with talking() as (smsc, _):
        smsc.script = replace(smsc.script, deaf=True)
        for _ in range(3):
            smsc.send_mo(HANDSET, "1", "x", system_id="esme")
        assert smsc.counters.writes_dropped == 1


@pytest.mark.parametrize("octets", [1, 7])
async def test_octets_dribble_and_still_make_whole_pdus(octets: int) -> None:
    async with talking(dribble_bytes=octets) as (smsc, esme):
        for _ in range(3):
            esme.submit()
        got = [(await esme.read()).command for _ in range(6)]
        assert sorted(got) == ["deliver_sm"] * 3 + ["submit_sm_resp"] * 3
        esme.submit(receipt=0)
        esme.send("unbind")
        await esme.expect_all("submit_sm_resp", "unbind_resp")
        assert await esme.end() == "closed"
        assert smsc.counters.answers == 4


async def test_a_dribble_really_is_many_small_writes() -> None:
    async with simulator(dribble_bytes=1) as smsc:
        reader, writer = await asyncio.open_connection("127.0.0.1", smsc.port)
        esme = ForeignEsme(reader, writer)
        esme.send("bind_transceiver", system_id="esme", password="x")
        sizes = []
        async with asyncio.timeout(WAIT_S):
            while sum(sizes) < 26:
                sizes.append(len(await reader.read(1000)))
        assert len(sizes) > 5


async def test_the_simulator_asks_its_bound_sessions_with_enquire_link() -> None:
    async with talking(enquire_link_s=0.01) as (smsc, esme):
        idle = await ForeignEsme.connect(smsc.port)
        request = await esme.expect("enquire_link")
        esme.send("enquire_link_resp", sequence=request.sequence)
        seen = await smsc.wait_for(lambda seen: seen.enquire_links_answered == 1)
        assert 0 < seen.enquire_link_max_s < WAIT_S
        await idle.assert_quiet()


async def test_enquiries_that_are_never_answered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smsproxy.simulator.requests.MAX_ENQUIRIES", 1)
    async with talking(enquire_link_s=0.01) as (smsc, esme):
        first = await esme.expect("enquire_link")
        second = await esme.expect("enquire_link")
        smsc.script = replace(smsc.script, enquire_link_s=0.0)
        for request in (first, second):
            esme.send("enquire_link_resp", sequence=request.sequence)
        await esme.assert_quiet()
        assert (smsc.counters.enquire_links_answered, smsc.counters.unexpected) == (1, 1)


# -- answers ----------------------------------------------------------------------------------------------


async def test_error_statuses_follow_the_first_rule_that_matches() -> None:
    rules = (
        Rule(do="error", status=ESME_RINVDSTADR, destination_prefix="7"),
        Rule(do="error", status=0x400, text_contains="forbidden"),
        Rule(do="error", every=2),
    )
    async with talking(*rules) as (smsc, esme):
        statuses = []
        for to, text in (("712", b"forbidden"), ("812", b"a forbidden word"), ("8", b"1"), ("8", b"2")):
            esme.submit(text, to=to, receipt=0)
            statuses.append((await esme.expect("submit_sm_resp")).status)
        assert statuses == [ESME_RINVDSTADR, 0x400, 0, consts.SMPP_ESME_RSYSERR]
        assert (smsc.counters.taken, smsc.counters.refused, smsc.counters.throttled) == (1, 3, 0)


@pytest.mark.parametrize(("body", "octets"), [("none", b""), ("empty", b"\0"), ("id", b"0\0")])
async def test_a_refusal_has_the_body_that_the_script_says(body: str, octets: bytes) -> None:
    async with simulator(Rule(do="error"), error_body=body) as smsc:
        reader, writer = await asyncio.open_connection("127.0.0.1", smsc.port)
        esme = ForeignEsme(reader, writer)
        await esme.bind()
        esme.submit()
        frame = await reader.read(1000)
        assert int.from_bytes(frame[8:12], "big") == consts.SMPP_ESME_RSYSERR
        assert frame[16:] == octets


async def test_every_nth_submit_is_never_answered() -> None:
    async with talking(Rule(do="silent", every=3), receipts="always") as (smsc, esme):
        for number in range(6):
            esme.submit(b"%d" % number)
        await smsc.wait_for(lambda seen: seen.submits == 6)
        got = [(await esme.read()).command for _ in range(8)]
        await esme.assert_quiet()
        assert sorted(got) == ["deliver_sm"] * 4 + ["submit_sm_resp"] * 4
        assert [entry.answer for entry in smsc.truth.submits()] == [0, 0, None, 0, 0, None]


async def test_a_late_answer_comes_after_those_of_later_submits() -> None:
    async with talking(Rule(do="late", after_s=0.02, every=2), receipts="never") as (_, esme):
        numbers = [esme.submit(b"%d" % number) for number in range(3)]
        answered = [pdu.sequence for pdu in await esme.expect_all(*["submit_sm_resp"] * 3)]
        assert answered == [numbers[0], numbers[2], numbers[1]]


async def test_answers_and_receipts_can_be_delayed() -> None:
    async with talking(answer_delay_s=0.02, answer_jitter_s=0.01, receipt_delay_s=0.02) as (smsc, esme):
        esme.submit()
        await esme.assert_quiet()
        await esme.expect_all("submit_sm_resp", "deliver_sm")
        submit, answer, receipt = (
            next(entry.at for entry in smsc.truth.entries() if entry.command == command)
            for command in ("submit_sm", "submit_sm_resp", "deliver_sm")
        )
        assert answer - submit > 0.009
        assert receipt - submit > 0.029


async def test_the_most_outstanding_submits_show_the_window() -> None:
    async with talking(answer_delay_s=0.05) as (smsc, esme):
        for _ in range(7):
            esme.submit(receipt=0)
        await esme.expect_all(*["submit_sm_resp"] * 7)
        esme.submit(receipt=0)
        await esme.expect("submit_sm_resp")
        assert smsc.counters.max_outstanding == 7


async def test_above_the_rate_submits_are_throttled_per_system_id() -> None:
    async with talking(throttle_per_s=0.001, throttle_burst=2, receipts="never") as (smsc, esme):
        for _ in range(3):
            esme.submit()
        got = [pdu.status for pdu in await esme.expect_all(*["submit_sm_resp"] * 3)]
        assert got == [0, 0, ESME_RTHROTTLED]
        other = await ForeignEsme.bound(smsc.port, system_id="other")
        other.submit()
        assert (await other.expect("submit_sm_resp")).status == 0
        assert smsc.counters.throttled == 1


async def test_a_full_queue_refuses_until_the_script_changes() -> None:
    async with talking(queue_full_for_s=600, receipts="never") as (smsc, esme):
        esme.submit()
        assert (await esme.expect("submit_sm_resp")).status == ESME_RMSGQFUL
        smsc.script = replace(smsc.script, queue_full_for_s=0)
        esme.submit()
        assert (await esme.expect("submit_sm_resp")).status == 0


async def test_a_rule_can_cut_in_the_middle_of_a_multipart_message() -> None:
    async with talking(Rule(do="cut", segment_no=2)) as (smsc, esme):
        for number in (1, 2, 3):
            esme.submit(bytes((5, 0, 3, 7, 3, number)) + b"part", esm_class=0x40, receipt=0)
        assert await esme.end() == "reset"
        assert [entry.segment_no for entry in smsc.truth.submits()] == [1, 2]


async def _odd(rule: Rule) -> list[tuple[str, int, int, str]]:
    """What an ESME gets for one submit under the rule, each PDU's number relative to the submit's."""
    async with talking(rule, receipts="never") as (smsc, esme):
        number = esme.submit()
        esme.send("enquire_link")
        got = []
        while (pdu := await esme.read()).command != "enquire_link_resp":
            smsc_id = (getattr(pdu, "message_id", b"") or b"").decode()
            got.append((pdu.command, pdu.sequence - number, pdu.status, smsc_id))
        assert smsc.counters.odd_answers == 1
        return got


async def test_an_answer_nobody_asked_for_has_a_far_off_sequence_number() -> None:
    odd, right = await _odd(Rule(do="unknown_sequence"))
    assert odd[0] == right[0] == "submit_sm_resp"
    assert odd[1] > 1000
    assert right[1] == 0
    assert odd[3] != right[3]
    assert len(await _odd(Rule(do="unknown_sequence", instead=True))) == 1


async def test_a_right_answer_can_come_twice() -> None:
    first, second = await _odd(Rule(do="repeat"))
    assert first == second
    assert first[:3] == ("submit_sm_resp", 0, 0)


async def test_an_answer_can_be_of_the_wrong_type() -> None:
    odd, right = await _odd(Rule(do="wrong_type"))
    assert (odd[0], right[0]) == ("data_sm_resp", "submit_sm_resp")
    assert odd[1] == right[1] == 0
    (alone,) = await _odd(Rule(do="wrong_type", instead=True))
    assert alone[0] == "data_sm_resp"


async def test_a_generic_nack_can_name_the_submit_or_nothing() -> None:
    (nack,) = await _odd(Rule(do="nack", status=consts.SMPP_ESME_RINVCMDID))
    assert nack[:3] == ("generic_nack", 0, consts.SMPP_ESME_RINVCMDID)
    blind, right = await _odd(Rule(do="nack_zero"))
    assert blind[0] == "generic_nack"
    assert blind[1] < 0
    assert right[:3] == ("submit_sm_resp", 0, 0)


async def test_hints_make_special_endings_of_the_destination() -> None:
    async with talking(hints=True) as (_, esme):
        esme.submit(to="9989000002")
        assert (await esme.expect("submit_sm_resp")).status == ESME_RINVDSTADR
        esme.submit(to="9989000009")
        await esme.assert_quiet()
        for to, state in (("9989000001", 5), ("9989000003", 3), ("9989000004", 8), ("9989000000", 2)):
            esme.submit(to=to)
            _, receipt = await esme.expect_all("submit_sm_resp", "deliver_sm")
            assert receipt.message_state == state
        esme.submit(to="9989000008")
        await esme.expect("submit_sm_resp")
        await esme.assert_quiet()


async def test_without_hints_those_endings_are_ordinary() -> None:
    async with talking() as (_, esme):
        esme.submit(to="9989000002")
        assert (await esme.expect("submit_sm_resp")).status == 0


# -- receipts that go wrong -------------------------------------------------------------------------------


async def test_a_receipt_refused_for_now_is_repeated_and_other_refusals_end_it() -> None:
    async with talking(receipt_retry_s=0.01) as (smsc, esme):
        esme.auto = ESME_RX_T_APPN
        esme.submit()
        await esme.expect_all("submit_sm_resp", "deliver_sm")
        again = await esme.expect("deliver_sm")
        esme.auto = consts.SMPP_ESME_RX_R_APPN
        last = await esme.expect("deliver_sm")
        assert again.short_message == last.short_message
        assert last.sequence != again.sequence
        seen = await smsc.wait_for(lambda seen: seen.delivers_refused == 3)
        assert (seen.delivers_sent, seen.delivers_repeated, seen.delivers_ok) == (3, 2, 0)
        assert seen.deliver_statuses == {ESME_RX_T_APPN: 2, consts.SMPP_ESME_RX_R_APPN: 1}
        assert smsc.scheduled == 0


async def test_a_receipt_is_tried_only_so_often() -> None:
    async with talking(receipt_retry_s=0.0, receipt_tries=2) as (smsc, esme):
        esme.auto = ESME_RX_T_APPN
        esme.submit()
        await esme.expect_all("submit_sm_resp", "deliver_sm", "deliver_sm")
        seen = await smsc.wait_for(lambda seen: seen.delivers_dropped == 1)
        assert seen.delivers_sent == 2


async def test_an_unanswered_receipt_is_sent_again() -> None:
    async with talking(receipt_timeout_s=0.01, receipt_retry_s=0.0) as (smsc, esme):
        esme.auto = None
        esme.submit()
        first, second = (await esme.expect_all("submit_sm_resp", "deliver_sm", "deliver_sm"))[1:]
        assert first.short_message == second.short_message
        esme.answer(first)
        await smsc.wait_for(lambda seen: seen.unexpected == 1)
        assert smsc.counters.delivers_unanswered >= 1


async def test_receipts_unanswered_at_the_end_of_a_session_go_out_on_the_next() -> None:
    async with talking() as (smsc, esme):
        esme.auto = None
        for _ in range(3):
            esme.submit()
        lost = [pdu for pdu in [await esme.read() for _ in range(6)] if pdu.command == "deliver_sm"]
        smsc.cut_all()
        await smsc.wait_for(lambda seen: seen.sessions == 0)
        again = await ForeignEsme.bound(smsc.port)
        found = await again.expect_all(*["deliver_sm"] * 3)
        assert [pdu.short_message for pdu in found] == [pdu.short_message for pdu in lost]
        assert smsc.counters.delivers_unanswered == 3


async def test_a_receipt_nacked_by_the_esme_is_refused() -> None:
    async with talking() as (smsc, esme):
        esme.auto = None
        esme.submit()
        _, receipt = await esme.expect_all("submit_sm_resp", "deliver_sm")
        esme.send("generic_nack", sequence=receipt.sequence, status=3)
        seen = await smsc.wait_for(lambda seen: seen.delivers_refused == 1)
        assert seen.unexpected == 0


async def test_no_more_receipts_are_unanswered_than_the_receipt_window() -> None:
    async with talking(receipt_window=2) as (smsc, esme):
        esme.auto = None
        for _ in range(5):
            esme.submit()
        pdus = [await esme.read() for _ in range(7)]
        await esme.assert_quiet()
        assert smsc.waiting == 3
        esme.answer(next(pdu for pdu in pdus if pdu.command == "deliver_sm"))
        await esme.expect("deliver_sm")
        assert smsc.waiting == 2


async def test_deliveries_that_find_no_room_to_wait_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smsproxy.simulator.account.MAX_WAITING", 1)
    async with simulator() as smsc:
        smsc.send_receipt("1", system_id="esme")
        smsc.send_receipt("2", system_id="esme")
        assert (smsc.waiting, smsc.counters.delivers_dropped) == (1, 1)


# -- the same on the loop of production -------------------------------------------------------------------


def test_the_faults_that_touch_the_socket_work_on_the_production_loop_too() -> None:
    async def scenario() -> None:
        async with talking(dribble_bytes=3, receipts="never") as (smsc, esme):
            esme.submit()
            await esme.expect("submit_sm_resp")
            smsc.script = replace(smsc.script, deaf=True, dribble_bytes=0, refuse_connections=True)
            number = esme.submit()
            with pytest.raises(ConnectionRefusedError):
                await ForeignEsme.connect(smsc.port)
            assert smsc.counters.submits == 1
            smsc.script = replace(smsc.script, deaf=False, refuse_connections=False)
            assert (await esme.expect("submit_sm_resp")).sequence == number
            await ForeignEsme.bound(smsc.port)
            smsc.cut_all()
            assert await esme.end() == "reset"

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(scenario())

"""The simulator with a script that asks for nothing special: what any good SMSC does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from simulator_kit import HANDSET, ForeignEsme, simulator, talking, text_of
from smpplib import consts

from smsproxy.simulator import smsc as smsc_module
from smsproxy.simulator.smsc import Smsc


async def test_a_message_is_answered_with_an_id_and_its_receipt_names_that_id() -> None:
    async with talking() as (smsc, esme):
        number = esme.submit(b"Hello")
        answer = await esme.expect("submit_sm_resp")
        receipt = await esme.expect("deliver_sm")
        smsc_id = answer.message_id.decode()
        assert (answer.sequence, answer.status) == (number, 0)
        assert receipt.esm_class == 4
        assert receipt.source_addr == HANDSET.encode()
        assert receipt.destination_addr == b"MYBRAND"
        assert text_of(receipt).startswith(f"id:{smsc_id} sub:001 dlvrd:001 submit date:")
        assert "stat:DELIVRD err:000 text:Hello" in text_of(receipt)
        assert receipt.receipted_message_id == answer.message_id
        assert receipt.message_state == consts.SMPP_MESSAGE_STATE_DELIVERED
        seen = await smsc.wait_for(lambda seen: seen.delivers_ok == 1)
        assert (seen.submits, seen.taken, seen.receipts) == (1, 1, 1)


@pytest.mark.parametrize(
    ("registered_delivery", "state", "wanted"),
    [
        (0, "DELIVRD", False),
        (1, "DELIVRD", True),
        (1, "UNDELIV", True),
        (2, "DELIVRD", False),
        (2, "UNDELIV", True),
        (3, "UNDELIV", False),
        (3, "DELIVRD", True),
    ],
)
async def test_receipts_come_as_registered_delivery_asks(
    registered_delivery: int, state: str, wanted: bool
) -> None:
    async with talking(receipt_states=(state,)) as (smsc, esme):
        esme.submit(receipt=registered_delivery)
        await esme.expect("submit_sm_resp")
        if wanted:
            await esme.expect("deliver_sm")
        await esme.assert_quiet()
        assert smsc.counters.receipts == wanted


async def test_receipts_can_be_sent_always_or_never() -> None:
    async with talking(receipts="always") as (smsc, esme):
        esme.submit(receipt=0)
        await esme.expect_all("submit_sm_resp", "deliver_sm")
        smsc.script = replace(smsc.script, receipts="never")
        esme.submit(receipt=1)
        await esme.expect("submit_sm_resp")
        await esme.assert_quiet()


async def test_every_segment_that_asks_gets_a_receipt_of_its_own() -> None:
    async with talking() as (smsc, esme):
        for number in (1, 2, 3):
            esme.submit(bytes((5, 0, 3, 7, 3, number)) + b"part", esm_class=0x40)
        pdus = [await esme.read() for _ in range(6)]
        answered = [pdu.message_id for pdu in pdus if pdu.command == "submit_sm_resp"]
        assert answered == [pdu.receipted_message_id for pdu in esme.delivered]
        assert len(set(answered)) == 3
        assert smsc.truth.texts()[0].text == "partpartpart"


async def test_data_sm_is_taken_like_submit_sm() -> None:
    async with talking() as (smsc, esme):
        esme.send("data_sm", destination_addr=HANDSET, message_payload=b"Hi", registered_delivery=1)
        answer, receipt = await esme.expect_all("data_sm_resp", "deliver_sm")
        assert receipt.receipted_message_id == answer.message_id
        (submit,) = smsc.truth.submits(HANDSET)
        assert (submit.command, submit.text) == ("data_sm", "Hi")


async def test_query_sm_tells_the_state_to_the_sender_only() -> None:
    async with talking(receipt_states=("UNDELIV",)) as (smsc, esme):
        esme.submit()
        answer, _ = await esme.expect_all("submit_sm_resp", "deliver_sm")
        query = {"message_id": answer.message_id.decode(), "source_addr_ton": 5}
        esme.send("query_sm", source_addr="MYBRAND", **query)
        told = await esme.expect("query_sm_resp")
        assert told.message_state == consts.SMPP_MESSAGE_STATE_UNDELIVERABLE
        assert len(told.final_date) == 16
        esme.send("query_sm", source_addr="OTHER", **query)
        told = await esme.read()
        assert told.status == consts.SMPP_ESME_RQUERYFAIL
        assert smsc.counters.queries == 2


async def test_query_sm_says_enroute_until_the_receipt_is_due() -> None:
    async with talking(receipt_delay_s=600) as (smsc, esme):
        esme.submit()
        answer = await esme.expect("submit_sm_resp")
        esme.send("query_sm", source_addr="MYBRAND", message_id=answer.message_id.decode())
        told = await esme.expect("query_sm_resp")
        assert told.message_state == consts.SMPP_MESSAGE_STATE_ENROUTE
        assert smsc.scheduled == 1


@pytest.mark.parametrize(("kind", "receives"), [("transmitter", False), ("receiver", True)])
async def test_only_sessions_bound_to_receive_get_receipts(kind: str, receives: bool) -> None:
    async with talking(kind="transmitter") as (smsc, sender):
        other = await ForeignEsme.bound(smsc.port, kind)
        sender.submit()
        await sender.expect("submit_sm_resp")
        if receives:
            await other.expect("deliver_sm")
        else:
            assert smsc.waiting == 1
        await sender.assert_quiet()


async def test_a_receipt_waits_for_a_session_that_receives() -> None:
    async with talking(kind="transmitter") as (smsc, sender):
        sender.submit()
        await sender.expect("submit_sm_resp")
        assert smsc.waiting == 1
        late = await ForeignEsme.bound(smsc.port, "receiver")
        await late.expect("deliver_sm")
        assert smsc.waiting == 0


async def test_receipts_go_round_over_the_sessions_of_an_account() -> None:
    async with talking() as (smsc, first):
        second = await ForeignEsme.bound(smsc.port)
        stranger = await ForeignEsme.bound(smsc.port, system_id="stranger")
        for _ in range(4):
            first.submit()
        await smsc.wait_for(lambda seen: seen.delivers_sent == 4)
        await second.expect_all("deliver_sm", "deliver_sm")
        await stranger.assert_quiet()
        await smsc.wait_for(lambda seen: seen.delivers_ok == 2)


async def test_a_receiver_may_not_submit() -> None:
    async with talking(kind="receiver") as (smsc, esme):
        esme.submit()
        assert (await esme.expect("submit_sm_resp")).status == consts.SMPP_ESME_RINVBNDSTS
        assert smsc.counters.submits == 0


async def test_nothing_but_a_bind_is_taken_before_the_bind() -> None:
    async with simulator() as smsc:
        esme = await ForeignEsme.connect(smsc.port)
        esme.submit()
        assert (await esme.read()).status == consts.SMPP_ESME_RINVBNDSTS
        esme.send("query_sm", message_id="1")
        assert (await esme.read()).status == consts.SMPP_ESME_RINVBNDSTS
        await esme.assert_quiet()


async def test_a_second_bind_on_a_session_is_refused_as_already_bound() -> None:
    async with talking() as (smsc, esme):
        assert (await esme.bind()).status == consts.SMPP_ESME_RALYBND
        assert (smsc.counters.binds, smsc.counters.binds_refused, smsc.counters.bound) == (1, 1, 1)


async def test_unbind_is_answered_and_then_tcp_ends() -> None:
    async with talking() as (smsc, esme):
        esme.send("unbind")
        await esme.expect("unbind_resp")
        assert await esme.end() == "closed"
        seen = await smsc.wait_for(lambda seen: seen.sessions == 0)
        assert (seen.unbinds, seen.bound) == (1, 0)


async def test_the_simulator_can_unbind_every_session() -> None:
    async with talking() as (smsc, esme):
        await ForeignEsme.connect(smsc.port)
        await smsc.wait_for(lambda seen: seen.sessions == 2)
        assert smsc.unbind_all() == 1
        request = await esme.expect("unbind")
        esme.send("unbind_resp", sequence=request.sequence)
        assert await esme.end() == "closed"


async def test_an_esme_that_does_not_answer_the_unbind_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("smsproxy.simulator.session._MAX_UNBIND_S", 0.01)
    async with talking() as (smsc, esme):
        smsc.unbind_all()
        await esme.expect("unbind")
        assert await esme.end() == "closed"


async def test_an_unknown_request_is_nacked_and_an_unasked_response_is_counted() -> None:
    async with talking() as (smsc, esme):
        esme.write(bytes.fromhex("00000010000000990000000000000042"))
        nack = await esme.expect("generic_nack")
        assert (nack.sequence, nack.status) == (0x42, consts.SMPP_ESME_RINVCMDID)
        esme.send("enquire_link_resp", sequence=77)
        esme.send("deliver_sm_resp", sequence=77)
        esme.send("unbind_resp", sequence=77)
        await esme.assert_quiet()
        assert smsc.counters.unexpected == 4


async def test_a_pdu_that_cannot_be_read_is_refused_and_the_session_lives() -> None:
    async with talking() as (smsc, esme):
        esme.write(bytes.fromhex("0000001400000004000000000000000700414243"))
        answer = await esme.expect("submit_sm_resp")
        assert answer.sequence == 7
        assert answer.status != 0
        await esme.assert_quiet()
        assert smsc.counters.bad_pdus == 1


async def test_what_is_no_smpp_is_nacked_and_closed_after_what_came_before_it() -> None:
    async with talking() as (smsc, esme):
        esme.submit(receipt=0)
        esme.write(b"GET / HTTP/1.1\r\n\r\n")
        _, nack = await esme.expect_all("submit_sm_resp", "generic_nack")
        assert (nack.sequence, nack.status) == (0, consts.SMPP_ESME_RINVCMDLEN)
        assert await esme.end() == "closed"
        assert smsc.counters.bad_pdus == 1


async def test_an_address_that_no_receipt_could_carry_back_is_refused() -> None:
    async with talking() as (_, esme):
        octets = b"\0\0\0%b\0\0\0%b\0" + b"\0" * 9 + b"\0"
        for source, destination, status in (
            (b"1", b"2" * 21, consts.SMPP_ESME_RINVDSTADR),
            (b"1" * 21, b"2", consts.SMPP_ESME_RINVSRCADR),
        ):
            body = octets % (source, destination)
            header = (16 + len(body)).to_bytes(4, "big") + bytes.fromhex("000000040000000000000009")
            esme.write(header + body)
            assert (await esme.expect("submit_sm_resp")).status == status


async def test_mo_messages_go_to_whoever_receives() -> None:
    async with talking() as (smsc, esme):
        smsc.send_mo(HANDSET, "1234", "Ja, €5")
        gsm7 = await esme.expect("deliver_sm")
        assert (gsm7.esm_class, gsm7.data_coding, gsm7.short_message) == (0, 0, b"Ja, \x1be5")
        smsc.send_mo(HANDSET, "1234", "Да", system_id="esme")
        ucs2 = await esme.expect("deliver_sm")
        assert (ucs2.data_coding, ucs2.short_message.decode("utf-16-be")) == (8, "Да")
        smsc.send_mo(HANDSET, "1234", "x" * 300)
        assert (await esme.expect("deliver_sm")).message_payload == b"x" * 300
        await smsc.wait_for(lambda seen: seen.delivers_ok == 3)


async def test_an_mo_message_or_receipt_that_cannot_go_out_is_refused_at_once() -> None:
    async with simulator() as smsc:
        with pytest.raises(ValueError, match="nobody is bound"):
            smsc.send_mo(HANDSET, "1234", "hello")
        with pytest.raises(ValueError, match="source_addr has 21 octets"):
            smsc.send_mo("1" * 21, "1234", "hello", system_id="esme")
        smsc.send_receipt("anything", "DELIVRD", system_id="esme")
        assert smsc.waiting == 1


async def test_a_receipt_for_any_id_can_be_sent() -> None:
    async with talking() as (smsc, esme):
        smsc.send_receipt("no-such-id", "EXPIRED", source="MYBRAND", destination=HANDSET)
        receipt = await esme.expect("deliver_sm")
        assert receipt.receipted_message_id == b"no-such-id"
        assert "stat:EXPIRED" in text_of(receipt)
        assert [entry.state for entry in smsc.truth.receipts("no-such-id")] == ["EXPIRED"]


async def test_waiting_for_what_does_not_happen_ends_with_the_counts() -> None:
    async with talking() as (smsc, _):
        with pytest.raises(TimeoutError, match=r"not within 0.01 s; counted: sessions=1 bound=1"):
            await smsc.wait_for(lambda seen: seen.submits > 0, 0.01)


async def test_its_repr_is_its_dashboard() -> None:
    async with talking() as (smsc, _):
        assert repr(smsc) == f"<Smsc port={smsc.port} sessions=1 bound=1 connections=1 binds=1>"
        assert repr(smsc.sessions) == "[<SmscSession 1 'esme' transceiver outstanding=0>]"
        assert repr(smsc.sessions[0].account) == "<Account esme receivers=1 waiting=0>"


async def test_a_taken_port_is_an_error_and_a_closed_simulator_gives_it_back() -> None:
    async with simulator() as smsc:
        other = Smsc()
        with pytest.raises(OSError, match="in use"):
            await other.start(port=smsc.port)
        await other.aclose()
    again = Smsc()
    assert await again.start(port=smsc.port) == smsc.port
    await again.aclose()


async def test_more_sessions_than_allowed_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smsproxy.simulator.connections.MAX_SESSIONS", 1)
    async with talking() as (smsc, _):
        second = await ForeignEsme.connect(smsc.port)
        assert await second.end() == "closed"
        assert smsc.counters.connections_refused == 1


async def test_a_system_id_more_than_can_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smsproxy.simulator.account.MAX_ACCOUNTS", 1)
    async with talking() as (smsc, _):
        second = await ForeignEsme.connect(smsc.port)
        assert (await second.bind(system_id="other")).status == consts.SMPP_ESME_RBINDFAIL
        assert (await second.bind(system_id="esme")).status == 0


async def a_peer_that_does_not_read(smsc: Smsc) -> ForeignEsme:
    """Bound, and sent so much that the simulator stopped sending."""
    esme = ForeignEsme(*await asyncio.open_connection("127.0.0.1", smsc.port, limit=1))
    esme.send("bind_transceiver", system_id="esme", password="x")
    await smsc.wait_for(lambda seen: seen.bound == 1)
    for number in range(1000):
        smsc.send_mo(HANDSET, str(number), "x" * 60_000)
        await asyncio.sleep(0)
        if smsc.waiting:
            break
    assert smsc.waiting
    assert smsc.counters.delivers_sent < 1000
    return esme


async def test_a_peer_that_never_reads_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smsc_module, "_CLOSE_S", 0.05)
    async with simulator() as smsc:
        await a_peer_that_does_not_read(smsc)
        await smsc.aclose()
        assert smsc.counters.sessions == 0


async def test_a_peer_that_reads_again_gets_everything() -> None:
    async with simulator() as smsc:
        esme = await a_peer_that_does_not_read(smsc)
        sent = smsc.counters.delivers_sent + smsc.waiting
        esme.submit(receipt=0)
        await esme.expect("bind_transceiver_resp")
        await esme.expect_all(*["deliver_sm"] * sent)
        await esme.expect("submit_sm_resp")
        await smsc.wait_for(lambda seen: seen.delivers_ok == sent)


async def test_the_states_kept_for_query_sm_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smsproxy.simulator.core.MAX_KEPT", 1)
    async with talking() as (_, esme):
        ids = []
        for _ in range(2):
            esme.submit(receipt=0)
            ids.append((await esme.expect("submit_sm_resp")).message_id.decode())
        statuses = []
        for smsc_id in ids:
            esme.send("query_sm", source_addr="MYBRAND", message_id=smsc_id)
            statuses.append((await esme.read()).status)
        assert statuses == [consts.SMPP_ESME_RQUERYFAIL, 0]

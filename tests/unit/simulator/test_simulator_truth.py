"""The truth log: what it keeps, what it writes, and what it answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_kit import HANDSET, ForeignEsme, simulator, talking

from smsproxy.domain.address import Address
from smsproxy.simulator import ledger
from smsproxy.simulator.script import Rule
from smsproxy.simulator.smsc import Smsc
from smsproxy.simulator.truth import TruthLog, read_entries
from smsproxy.smpp.constants import ESME_RTHROTTLED
from smsproxy.smpp.pdu import EnquireLink, Pdu, SubmitSm
from smsproxy.text.segmentation import TextOptions, segment


def a_submit(
    text: bytes = b"hello", to: str = HANDSET, *, sender: str = "1234", **fields: object
) -> SubmitSm:
    return SubmitSm(
        source_addr=Address(0, 1, sender), destination_addr=Address(1, 1, to), short_message=text, **fields
    )


def a_part(number: int, text: bytes = b"part", *, ref: int = 7, total: int = 3, **fields: object) -> SubmitSm:
    header = bytes((5, 0, 3, ref, total, number))
    return a_submit(header + text, esm_class=0x40, **fields)


def a_log(*pdus: Pdu | tuple[Pdu, int | None]) -> TruthLog:
    """A log of submits, taken unless paired with another answer."""
    log = TruthLog(clock=lambda: 1000.0)
    for number, given_pdu in enumerate(pdus, 1):
        pdu, answer = given_pdu if isinstance(given_pdu, tuple) else (given_pdu, 0)
        log.note(1, "esme", "in", number, 0, pdu, f"id-{number}" if answer == 0 else "", answer=answer)
    return log


async def test_it_has_every_pdu_of_both_directions() -> None:
    async with talking(first_id=50) as (smsc, esme):
        esme.submit("Да".encode("utf-16-be"), data_coding=8)
        await esme.expect_all("submit_sm_resp", "deliver_sm")
        esme.write(bytes.fromhex("0000001400000004000000000000000700414243"))
        await esme.expect("submit_sm_resp")
        esme.send("unbind")
        await esme.expect("unbind_resp")
        seen = [(entry.direction, entry.command, entry.command_status) for entry in smsc.truth.entries()]
        assert seen[:6] == [
            ("in", "bind_transceiver", 0),
            ("out", "bind_transceiver_resp", 0),
            ("in", "submit_sm", 0),
            ("out", "submit_sm_resp", 0),
            ("out", "deliver_sm", 0),
            ("in", "deliver_sm_resp", 0),
        ]
        assert [command for _, command, _ in seen[6:]] == [
            "submit_sm",
            "submit_sm_resp",
            "unbind",
            "unbind_resp",
        ]
        assert {(entry.session, entry.system_id) for entry in smsc.truth.entries()} == {(1, "esme")}
        submit = smsc.truth.entries()[2]
        assert (submit.text, submit.data_coding, submit.smsc_id, submit.answer) == ("Да", 8, "50", 0)
        assert (submit.source, submit.destination) == ("MYBRAND", HANDSET)
        assert submit.registered_delivery == 1
        (receipt,) = smsc.truth.receipts("50")
        assert (receipt.state, receipt.direction) == ("DELIVRD", "out")


async def test_the_password_is_in_neither_memory_nor_file(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    smsc = Smsc(truth=TruthLog(path))
    esme = await ForeignEsme.connect(await smsc.start())
    esme.send("bind_transceiver", system_id="esme", password="hunter2")
    await esme.expect("bind_transceiver_resp")
    await esme.close()
    await smsc.aclose()
    assert "hunter2" not in path.read_text() + repr(smsc.truth.entries())
    assert '"system_id": "esme"' in path.read_text()


def test_memory_is_bounded_and_says_what_it_forgot() -> None:
    log = TruthLog(ring=2)
    for number in range(5):
        log.note(1, "esme", "in", number, 0, EnquireLink())
    assert [entry.sequence_number for entry in log.entries()] == [3, 4]
    assert (log.total, log.forgotten) == (5, 3)
    assert repr(log) == "<TruthLog 2 of 5>"


def test_a_file_reads_back_as_what_was_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    log = TruthLog(path)
    log.note(1, "esme", "in", 1, 0, a_part(2, b"\x00\x1be", ref=9), "id-1", answer=0)
    log.note(1, "esme", "in", 2, 0, a_submit(b"\x80\xff", data_coding=4), answer=None)
    log.note(2, "esme", "out", 3, 0x58, EnquireLink(), state="DELIVRD")
    log.close()
    assert read_entries(path) == log.entries()
    first, second, third = map(json.loads, path.read_text().splitlines())
    assert (first["text"], first["concat_ref"], first["segment_no"]) == ("@€", 9, 2)
    assert len(first["text_sha256"]) == 64
    assert second["text"] is None
    assert "answer" not in second
    assert "text" not in third


def test_lines_reach_the_file_in_bunches_and_at_flush(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    log = TruthLog(path)
    for number in range(501):
        log.note(1, "esme", "in", number, 0, EnquireLink())
    assert len(path.read_text().splitlines()) == 500
    log.flush()
    assert len(path.read_text().splitlines()) == 501
    log.close()
    TruthLog(path).close()
    assert len(read_entries(path)) == 501, "an existing file is added to"


def test_a_file_that_cannot_be_written_ends_the_file_and_not_the_log() -> None:
    log = TruthLog(Path("/dev/full"))
    log.note(1, "esme", "in", 1, 0, EnquireLink())
    log.close()
    log.note(1, "esme", "in", 2, 0, EnquireLink())
    assert log.file_error == "truth log ended: No space left on device"
    assert len(log.entries()) == 2


@pytest.mark.parametrize("line", ["nonsense", "{}", "[1]", '{"at": 1, "octets": "zz"}'])
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ValueError, match=r"truth\.jsonl:1: "):
        read_entries(path)


# -- texts --------------------------------------------------------------------------------------------------


def test_segments_are_joined_in_their_order_however_they_came() -> None:
    log = a_log(a_part(3, b"c"), a_submit(b"single"), a_part(1, b"a"), a_part(2, b"b"))
    assert [(text.text, text.smsc_ids) for text in log.texts()] == [
        ("abc", ["id-3", "id-4", "id-1"]),
        ("single", ["id-2"]),
    ]


def test_a_message_with_a_missing_segment_has_no_text() -> None:
    (text,) = a_log(a_part(1), a_part(3)).texts()
    assert (text.complete, text.text) == (False, None)


def test_messages_are_kept_apart_by_sender_destination_and_reference() -> None:
    log = a_log(
        a_part(1, b"a", total=2),
        a_part(1, b"b", total=2, sender="5678"),
        a_part(1, b"c", total=2, to="998"),
        a_part(1, b"d", total=2, ref=8),
        a_part(2, b"a", total=2),
        a_part(2, b"b", total=2, sender="5678"),
        a_part(2, b"c", total=2, to="998"),
        a_part(2, b"d", total=2, ref=8),
    )
    assert [text.text for text in log.texts()] == ["aa", "bb", "cc", "dd"]
    assert [text.text for text in log.texts("998")] == ["cc"]


def test_a_reference_used_again_begins_a_new_message() -> None:
    log = a_log(*(a_part(number, text, total=2) for text in (b"x", b"y") for number in (1, 2)))
    assert [text.text for text in log.texts()] == ["xx", "yy"]


def test_a_refused_segment_that_is_sent_again_is_joined_once() -> None:
    log = a_log(
        a_part(1, b"a", total=2), (a_part(2, b"b", total=2), ESME_RTHROTTLED), a_part(2, b"b", total=2)
    )
    assert [text.text for text in log.texts()] == ["ab"]
    assert log.duplicates() == []


def test_a_segment_that_was_never_answered_counts_as_taken() -> None:
    log = a_log(a_part(1, b"a", total=2), (a_part(2, b"b", total=2), None))
    assert [text.text for text in log.texts()] == ["ab"]


def test_characters_torn_by_a_segment_border_are_whole_again() -> None:
    escape = a_log(a_part(1, b"5\x1b", total=2), a_part(2, b"e", total=2))
    assert escape.texts()[0].text == "5€"
    octets = "a\U0001f600b".encode("utf-16-be")
    parts = [a_part(n, half, total=2, data_coding=8) for n, half in ((1, octets[:4]), (2, octets[4:]))]
    assert a_log(*parts).texts()[0].text == "a\U0001f600b"


@given(
    st.text("aé€Д\U0001f600 ", min_size=1, max_size=700), st.sampled_from(["udh8", "udh16", "sar", "payload"])
)
def test_whatever_was_cut_into_segments_is_joined_to_the_same_text(text: str, long_messages: str) -> None:
    sent = segment(text, TextOptions(max_segments=255, long_messages=long_messages))
    pdus = []
    for index in range(sent.parts):
        data, tlvs = sent.user_data(index, 0x1234), {}
        if sent.concatenation == "sar":
            tlvs = {0x020C: b"\x12\x34", 0x020E: bytes((sent.parts,)), 0x020F: bytes((index + 1,))}
        elif sent.concatenation == "payload":
            tlvs, data = {0x0424: data}, b""
        esm_class = 0x40 if sent.udhi else 0
        pdus.append(a_submit(data, esm_class=esm_class, data_coding=sent.data_coding, tlvs=tlvs))
    assert [joined.text for joined in a_log(*reversed(pdus)).texts()] == [text]


# -- doubles ------------------------------------------------------------------------------------------------


def test_the_same_segment_taken_twice_is_a_double() -> None:
    log = a_log(a_submit(b"x"), a_submit(b"y"), a_submit(b"x"), a_part(1), a_part(1))
    assert [[entry.sequence_number for entry in found] for found in log.duplicates()] == [[1, 3], [4, 5]]


@pytest.mark.parametrize(("first", "doubles"), [(0, 1), (None, 1), (ESME_RTHROTTLED, 0)])
def test_a_resend_is_a_double_unless_the_first_was_refused(first: int | None, doubles: int) -> None:
    assert len(a_log((a_submit(), first), a_submit()).duplicates()) == doubles


def test_submits_that_differ_in_anything_are_no_doubles() -> None:
    log = a_log(
        a_submit(b"x"), a_submit(b"x", to="1"), a_submit(b"x", sender="1"), a_submit(b"x", data_coding=3),
        a_part(1, b"x"), a_part(2, b"x"), a_part(1, b"x", ref=8),
    )  # fmt: skip
    assert log.duplicates() == []


async def test_a_ledger_can_be_drawn_from_the_file_of_another_process(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    async with simulator(Rule(do="silent", text_contains="lost")) as smsc:
        smsc._core.truth = TruthLog(path)
        esme = await ForeignEsme.bound(smsc.port)
        for text in (b"one", b"lost", b"lost"):
            esme.submit(text, receipt=0)
        await smsc.wait_for(lambda seen: seen.submits == 3)
    entries = read_entries(path)
    assert [entry.text for entry in ledger.submits(entries, HANDSET)] == ["one", "lost", "lost"]
    assert [len(found) for found in ledger.duplicates(entries)] == [2]
    assert [text.text for text in ledger.texts(entries)] == ["one", "lost", "lost"]

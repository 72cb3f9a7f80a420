"""Problems 43-51 of users of other gateways: what a message looks like on the wire, read by smpplib."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from field_kit import Gateway, daemon

from tests.flow.links.raw_smsc import RawSmsc

LONG = "A long message. " * 25


async def on_the_wire(
    folder: Path, *texts: str, link: dict[str, Any] | None = None, **fields: Any
) -> list[Any]:
    """The submit_sm of these texts, sent one after the other over a link with these settings."""
    async with RawSmsc() as smsc:
        smsc.submit_status = lambda _: 0
        async with daemon(folder, smsc, links_100=link or {}) as gate:
            for text in texts:
                await gate.taken(text, **fields)
        return [seen.fields for seen in smsc.sessions[0].seen if seen.name == "submit_sm"]


async def test_a_text_of_160_characters_with_a_euro_goes_as_two_parts(tmp_path: Path) -> None:
    pdus = await on_the_wire(tmp_path, "x" * 159 + "€")
    assert [len(pdu.short_message) - 6 for pdu in pdus] == [153, 8]
    assert b"\x1be" in pdus[1].short_message


async def test_ucs2_parts_have_an_even_length_and_sixty_seven_characters(tmp_path: Path) -> None:
    pdus = await on_the_wire(tmp_path, "й" * 140)
    assert [len(pdu.short_message) - 6 for pdu in pdus] == [134, 134, 12]


async def test_an_emoji_at_the_border_of_two_parts_is_not_cut(tmp_path: Path) -> None:
    pdus = await on_the_wire(tmp_path, "й" * 66 + "🙂" + "й" * 20)
    assert [pdu.short_message[6:].decode("utf-16-be") for pdu in pdus] == ["й" * 66, "🙂" + "й" * 20]


@pytest.mark.parametrize(
    ("text", "coding", "octets"),
    [("@", 0xF1, b"\0"), ("Čau", 0x18, "Čau".encode("utf-16-be")), ("Âge", 0, b"\xc2ge")],
)
async def test_an_smsc_whose_data_coding_0_is_latin_1_gets_each_alphabet_under_its_own_number(
    tmp_path: Path, text: str, coding: int, octets: bytes
) -> None:
    link = {"gsm7_data_coding": 0xF1, "ucs2_data_coding": 0x18, "latin1": True, "latin1_data_coding": 0}
    (pdu,) = await on_the_wire(tmp_path, text, link=link)
    assert (pdu.data_coding, pdu.short_message) == (coding, octets)


NO_GSM7 = {"gsm7": False, "latin1": True, "latin1_data_coding": 0}


@pytest.mark.parametrize(
    ("text", "coding", "octets"),
    [
        ("a@b_c", 0, b"a@b_c"),
        ("Âge {5}", 0, b"\xc2ge {5}"),
        ("5 €", 8, "5 €".encode("utf-16-be")),
        ("ΔΩ", 8, "ΔΩ".encode("utf-16-be")),
    ],
)
async def test_an_smsc_that_knows_no_gsm7_gets_latin_1_and_ucs2_alone(
    tmp_path: Path, text: str, coding: int, octets: bytes
) -> None:
    (pdu,) = await on_the_wire(tmp_path, text, link=NO_GSM7)
    assert (pdu.data_coding, pdu.short_message) == (coding, octets)


async def test_long_latin_1_texts_are_cut_at_134_octets(tmp_path: Path) -> None:
    pdus = await on_the_wire(tmp_path, "x" * 141, link=NO_GSM7)
    assert [len(pdu.short_message) - 6 for pdu in pdus] == [134, 7]
    assert {pdu.data_coding for pdu in pdus} == {0}


async def test_turkish_letters_keep_their_shape_and_the_length_of_gsm7_where_the_link_allows_it(
    tmp_path: Path,
) -> None:
    (shifted,) = await on_the_wire(tmp_path / "on", "şeker" * 20, link={"national_shift": ["turkish"]})
    assert (shifted.esm_class, shifted.short_message[:4]) == (0x40, b"\x03\x24\x01\x01")
    plain = await on_the_wire(tmp_path / "off", "şeker" * 20)
    assert [pdu.data_coding for pdu in plain] == [8, 8]


@pytest.mark.parametrize(("mode", "at"), [("udh8", slice(3, 4)), ("udh16", slice(3, 5))])
async def test_parts_of_one_message_share_a_reference_and_the_next_message_has_another(
    tmp_path: Path, mode: str, at: slice
) -> None:
    pdus = await on_the_wire(tmp_path, LONG, LONG, link={"long_messages": mode})
    references = [pdu.short_message[at] for pdu in pdus]
    assert len(pdus) == 6
    assert references == [references[0]] * 3 + [references[3]] * 3
    assert references[0] != references[3]


async def test_parts_of_one_message_go_over_one_link_of_a_pool(tmp_path: Path) -> None:
    async with RawSmsc() as smsc:
        smsc.submit_status = lambda _: 0
        other = {"host": "127.0.0.1", "port": smsc.port, "system_id": "other", "password": "secret"}
        pool = {"members": [{"link": 100}, {"link": 101}]}
        async with daemon(tmp_path, smsc, links_101=other, pools_1000=pool) as gate:
            await gather(gate, 20)
        headers = [
            {
                (seen.fields.destination_addr, seen.fields.short_message[3])
                for seen in session.seen
                if seen.name == "submit_sm"
            }
            for session in smsc.sessions
        ]
        assert [len(one) for one in headers] == [10, 10]
        assert not headers[0] & headers[1]


async def gather(gate: Gateway, count: int) -> None:
    await asyncio.gather(*(gate.taken(LONG, route=1000, daddr=f"99890{n:07d}") for n in range(count)))


@pytest.mark.parametrize("mode", ["udh8", "udh16"])
async def test_every_part_with_a_header_says_so_and_no_other_does(tmp_path: Path, mode: str) -> None:
    pdus = await on_the_wire(tmp_path, "short", LONG, link={"long_messages": mode})
    assert [pdu.esm_class for pdu in pdus] == [0, 0x40, 0x40, 0x40]


@pytest.mark.parametrize(
    ("sender", "given", "ton_npi"),
    [
        ("MYBRAND", {}, (5, 0)),
        ("MYBRAND", {"ston": 0, "snpi": 0}, (0, 0)),
        ("998712000000", {}, (0, 0)),
        ("998712000000", {"ston": 1, "snpi": 1}, (1, 1)),
    ],
)
async def test_an_alphanumeric_sender_goes_as_ton_5_unless_the_caller_says_otherwise(
    tmp_path: Path, sender: str, given: dict[str, int], ton_npi: tuple[int, int]
) -> None:
    (pdu,) = await on_the_wire(tmp_path, "hello", saddr=sender, **given)
    assert (pdu.source_addr_ton, pdu.source_addr_npi) == ton_npi
    assert pdu.source_addr == sender.encode()


@pytest.mark.parametrize("period", ["", "000002000000000R", "261231235959904+"])
async def test_the_validity_period_goes_out_as_the_operator_wants_it_or_empty(
    tmp_path: Path, period: str
) -> None:
    (pdu,) = await on_the_wire(tmp_path, "hello", link={"validity_period": period})
    assert (pdu.validity_period or b"") == period.encode()

"""What CheckTextLen says is what goes on the wire (spec §2.4), for any text: measured, built, read back.

The PDUs are read by smpplib, the header and text by the few lines below: nothing of ours judges itself.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smpplib import smpp

from smsproxy.domain.address import Address
from smsproxy.links.base import Slot, text_options
from smsproxy.links.submitter import Submitter
from smsproxy.pipeline.measure import measure
from smsproxy.settings import LinkSettings, Secret
from smsproxy.text.segmentation import SegmentedText, segment

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = dict(zip(b"\x0a\x14\x28\x29\x2f\x3c\x3d\x3e\x40\x65", "\f^{}\\[~]|€", strict=True))
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=800).filter(
    lambda t: "\0" not in t
)
GSM_TEXT = st.text(
    st.sampled_from([*BASIC.replace("\x1b", ""), *EXTENSION.values()]), min_size=1, max_size=1400
)
MIXED = st.text(st.sampled_from("ab€[~й🙂é́‍"), min_size=1, max_size=400)
ALPHABETS = (
    BASIC.replace("\x1b", ""),
    [*EXTENSION.values()],
    "abc €[~",
    "абвгд",
    "🙂👍🏽🇺🇿",
    "ab€[~й🙂é\u0301\u200d",
    [chr(point) for point in (*range(1, 0xD800), *range(0xE000, 0x11000))],
)
EDGES = (2, 70, 134, 160, 201, 306, 459, 670, 1530, 1598)
SENDER = Address(5, 0, "MYBRAND")
RECIPIENT = Address(1, 1, "998901234567")
LINK = LinkSettings(system_id="x", password=Secret("x"))


@dataclass
class Sent:
    """A message as the submitter needs it."""

    text: SegmentedText
    source: Address = SENDER
    destination: Address = RECIPIENT
    reference: int = 77
    fair_key: tuple[int, str] = (1, "unary")
    slots: list[Slot] = field(default_factory=list)
    written: int = 0
    stopped: bool = False


class _Sequence:
    sequence = 1

    def next_sequence(self) -> int:
        return 1


def pdus(text: str) -> list[tuple[bytes, int, int]]:
    """(short_message, data_coding, esm_class) of every submit_sm, as smpplib reads them."""
    sent = Sent(segment(text, text_options(LINK, 255)))
    submitter = Submitter(LINK)
    found = []
    for number in range(1, sent.text.parts + 1):
        body = submitter.body(sent, number)
        raw = pack(">LLLL", 16 + len(body), 4, 0, number) + body
        pdu = smpp.parse_pdu(raw, client=_Sequence(), allow_unknown_opt_params=True)
        found.append((pdu.short_message or b"", pdu.data_coding, pdu.esm_class))
    return found


def split(short_message: bytes, esm_class: int) -> tuple[bytes, bytes]:
    """(header, text octets)"""
    if not esm_class & 0x40:
        return b"", short_message
    end = 1 + short_message[0]
    return short_message[:end], short_message[end:]


def decode(octets: bytes, data_coding: int) -> str:
    if data_coding == 8:
        return octets.decode("utf-16-be")  # strict: a torn surrogate pair is an error
    assert octets[-1] != 0x1B, "an escape pair is torn"
    text, septets = "", iter(octets)
    for septet in septets:
        text += EXTENSION[next(septets)] if septet == 0x1B else BASIC[septet]
    return text


def air_octets(header: bytes, octets: bytes, data_coding: int) -> int:
    """GSM7 travels packed on the air, after fill bits that align it to a septet."""
    if data_coding == 8:
        return len(header) + len(octets)
    header_septets = -(-len(header) * 8 // 7)
    return -(-(header_septets + len(octets)) * 7 // 8)


@settings(max_examples=300)
@given(st.one_of(ANY_TEXT, GSM_TEXT, MIXED))
def test_the_parts_of_checktextlen_are_the_pdus_and_join_to_the_text(text: str) -> None:
    assert_true_on_the_wire(text)


@pytest.mark.long
def test_many_texts_of_every_length_are_on_the_wire_as_checktextlen_says() -> None:
    """Row 14 of the reliability matrix. A seed gives the same texts every time."""
    rng = random.Random(14)
    for _ in range(100_000 if os.environ.get("SMSPROXY_SOAK") else 3_000):
        assert_true_on_the_wire(some_text(rng))


def some_text(rng: random.Random) -> str:
    """0 to 1,600 characters: of one alphabet or mixed, half of them at the edges of parts."""
    characters = rng.choice(ALPHABETS)
    length = rng.choice(EDGES) + rng.randint(-2, 2) if rng.random() < 0.5 else rng.randint(0, 1600)
    text = "".join(rng.choices(characters, k=length))
    if rng.random() < 0.3:
        at = rng.randint(0, length)
        text = text[:at] + rng.choice("€[🙂й\u0301") + text[at:]
    return text


def assert_true_on_the_wire(text: str) -> None:
    """Parts and alphabet as `measure` says, each within 140 octets on the air, joined they are the text."""
    said = measure(text, [text_options(LINK, 255)])
    sent = pdus(text)
    assert len(sent) == said.parts
    joined = ""
    for number, (short_message, data_coding, esm_class) in enumerate(sent, 1):
        header, octets = split(short_message, esm_class)
        assert header == (bytes((5, 0, 3, 77, len(sent), number)) if len(sent) > 1 else b"")
        assert air_octets(header, octets, data_coding) <= 140
        joined += decode(octets, data_coding)
    assert joined == text
    codings = {data_coding for _, data_coding, _ in sent}
    assert codings == ({0 if said.alphabet == "GSM7" else 8} if text else set())


@pytest.mark.parametrize(
    ("character", "length", "parts"),
    [
        ("a", 160, 1), ("a", 161, 2), ("a", 306, 2), ("a", 307, 3),
        ("й", 70, 1), ("й", 71, 2), ("й", 134, 2), ("й", 135, 3),
        ("€", 80, 1), ("€", 81, 2), ("🙂", 35, 1), ("🙂", 36, 2),
    ],
)  # fmt: skip
def test_the_edges_of_the_contract(character: str, length: int, parts: int) -> None:
    text = character * length
    assert measure(text, [text_options(LINK, 10)]).parts == len(pdus(text)) == parts

"""Octets to whole PDUs: glued, dribbled, hostile."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.smpp.errors import FramingLostError
from smsproxy.smpp.framing import Framer


def a_frame(body: bytes = b"", number: int = 1) -> bytes:
    return struct.pack(">LLLL", 16 + len(body), 0x15, 0, number) + body


FRAMES = st.lists(st.binary(max_size=40).map(a_frame), max_size=6)


@given(FRAMES, st.lists(st.integers(1, 30), max_size=30))
def test_frames_come_out_however_the_octets_are_cut(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frames)
    framer, out, position = Framer(), [], 0
    for size in [*cuts, len(data) or 1]:
        out += framer.feed(data[position : position + size])
        position += size
    assert out == frames
    assert repr(framer) == "<Framer ok held=0>"


def test_one_octet_at_a_time_gives_the_same_frames() -> None:
    frames = [a_frame(b"x" * size, size) for size in range(20)]
    framer = Framer()
    out = [frame for octet in b"".join(frames) for frame in framer.feed(bytes((octet,)))]
    assert out == frames


@pytest.mark.parametrize("length", [0, 15, 65537, 2**31, 2**32 - 1])
def test_impossible_length_is_refused_at_its_fourth_octet(length: int) -> None:
    framer = Framer()
    octets = struct.pack(">L", length)
    assert framer.feed(octets[:3]) == []
    with pytest.raises(FramingLostError, match=f"command_length {length}"):
        framer.feed(octets[3:])


@pytest.mark.parametrize("length", [16, 65536])
def test_shortest_and_longest_pdu_are_taken(length: int) -> None:
    frame = a_frame(b"x" * (length - 16))
    assert Framer().feed(frame) == [frame]


def test_maximum_is_a_setting() -> None:
    assert Framer(20).feed(a_frame(b"1234")) == [a_frame(b"1234")]
    with pytest.raises(FramingLostError, match=r"command_length 21$"):
        Framer(20).feed(a_frame(b"12345"))


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "command_length 1213486160 looks like HTTP"),
        (b"GET / HTTP/1.1\r\n", "looks like HTTP"),
        (b"\x16\x03\x01\x02", "looks like TLS"),
        (b"\x15\x03\x03\x00", "looks like TLS"),
        (b"SSH-2.0-x", "looks like text 'SSH-'"),
        (b"\xff\xfe\xfd\xfc", "command_length 4294901244$"),
    ],
)
def test_reason_names_what_speaks_instead(octets: bytes, reason: str) -> None:
    with pytest.raises(FramingLostError, match=reason):
        Framer().feed(octets)


def test_frames_before_the_fault_are_handed_over() -> None:
    framer = Framer()
    with pytest.raises(FramingLostError) as caught:
        framer.feed(a_frame(b"a") + a_frame(b"b") + b"\0\0\0\0")
    assert list(caught.value.frames) == [a_frame(b"a"), a_frame(b"b")]


def test_a_lost_framer_stays_lost_without_repeating_frames() -> None:
    framer = Framer()
    with pytest.raises(FramingLostError):
        framer.feed(a_frame() + b"HTTP")
    with pytest.raises(FramingLostError, match="HTTP") as caught:
        framer.feed(a_frame())
    assert list(caught.value.frames) == []
    assert "lost" in repr(framer)


def test_no_more_than_one_pdu_is_ever_held() -> None:
    framer = Framer(1000)
    for _ in range(50):
        framer.feed((a_frame(b"x" * 984) * 3)[:2999])
        framer.feed(a_frame(b"x" * 984)[-1:])
    assert repr(framer) == "<Framer ok held=0>"
    framer.feed(a_frame(b"x" * 984)[:999])
    assert repr(framer) == "<Framer ok held=999>"


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_octets_are_framed_or_refused_with_the_named_error(chunks: list[bytes]) -> None:
    framer, out = Framer(64), b""
    try:
        for chunk in chunks:
            out += b"".join(framer.feed(chunk))
    except FramingLostError as error:
        out += b"".join(error.frames)
    assert b"".join(chunks).startswith(out)

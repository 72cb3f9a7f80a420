"""Bad protobufs at the decoder of SmsRequest: over 200 made by hand and 100,000 mutants.

What is no protobuf is refused; a field with the wrong wire type is an unknown field and never reaches the one
it imitates; there is no third way out.
"""

from __future__ import annotations

import random

import pytest

from smsproxy.rpc.codec import MalformedRequestError, decode_request
from smsproxy.rpc.descriptors import SmsRequest

VARINT, FIXED64, LENGTH, START, STOP, FIXED32 = range(6)
NUMBERS = [1, 3, 4, 5, 6, 8, 9, 12]
TEXTS = [2, 7, 10, 11, 13]
FIELDS = sorted(NUMBERS + TEXTS)
BASE = SmsRequest(
    app_id=1, esme=100, saddr="BRAND", daddr="998901234567", message="Привет"
).SerializeToString()
EMPTY = SmsRequest().SerializeToString()
VALUES = {
    VARINT: b"\x05",
    FIXED64: b"\x05" + bytes(7),
    LENGTH: b"\x03abc",
    FIXED32: b"\x05" + bytes(3),
}
BAD_UTF8 = [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\x80", b"\xe2\x98"]
MUTANTS = 100_000


def tag(field: int, wire_type: int) -> bytes:
    return bytes([field << 3 | wire_type])


def imitations() -> dict[str, bytes]:
    """Well-formed fields of the wrong wire type: unknown ones."""
    found = {}
    for field in FIELDS:
        for wire_type, value in VALUES.items():
            if wire_type != (LENGTH if field in TEXTS else VARINT):
                found[f"field {field} as wire type {wire_type}"] = tag(field, wire_type) + value
        found[f"field {field} as a group"] = tag(field, START) + tag(1, VARINT) + b"\x05" + tag(field, STOP)
    return found


def broken() -> dict[str, bytes]:
    """What is no protobuf at all."""
    found = {}
    for field in FIELDS:
        found[f"field {field} as wire type 6"] = tag(field, 6) + b"\x01"
        found[f"field {field} as wire type 7"] = tag(field, 7) + b"\x01"
        found[f"field {field} without value"] = tag(field, LENGTH if field in TEXTS else VARINT)
        found[f"field {field}: cut group"] = tag(field, START) + tag(1, VARINT) + b"\x05"
        found[f"field {field}: end without group"] = tag(field, STOP)
        found[f"field {field}: group of another end"] = tag(field, START) + tag(field + 1, STOP)
        found[f"field {field}: cut 64 bits"] = tag(field, FIXED64) + bytes(7)
        found[f"field {field}: cut 32 bits"] = tag(field, FIXED32) + bytes(3)
    for field in NUMBERS:
        found[f"field {field}: cut varint"] = tag(field, VARINT) + b"\x85"
        found[f"field {field}: varint of 11"] = tag(field, VARINT) + b"\x85" * 10 + b"\x01"
        found[f"field {field}: varint without end"] = tag(field, VARINT) + b"\xff" * 30
    for field in TEXTS:
        found[f"field {field}: string cut by one"] = tag(field, LENGTH) + b"\x04abc"
        found[f"field {field}: string of 2 GiB"] = tag(field, LENGTH) + b"\xff\xff\xff\xff\x07abc"
        found[f"field {field}: string of 2^63"] = tag(field, LENGTH) + b"\xff" * 9 + b"\x01abc"
        for octets in BAD_UTF8:
            found[f"field {field}: {octets.hex()}"] = tag(field, LENGTH) + bytes([len(octets)]) + octets
    for wire_type, value in VALUES.items():
        found[f"field 0 as wire type {wire_type}"] = tag(0, wire_type) + value
    return found


def mutant(chance: random.Random) -> bytes:
    """BASE after one or two small accidents."""
    octets = bytearray(BASE)
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(octets) + 1)
        match chance.randrange(5):
            case 0:
                octets[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                octets[at:at] = chance.randbytes(chance.randint(1, 3))
            case 2:
                del octets[at : at + chance.randint(1, 3)]
            case 3:
                del octets[at:]
            case _:
                octets[at:at] = octets[: chance.randrange(len(octets) + 1)]
    return bytes(octets)


def test_over_200_are_made_by_hand() -> None:
    assert len(imitations()) + len(broken()) >= 200


@pytest.mark.parametrize("octets", imitations().values(), ids=imitations())
def test_a_field_of_the_wrong_wire_type_reaches_no_field(octets: bytes) -> None:
    assert decode_request(octets) == decode_request(EMPTY)
    assert decode_request(BASE + octets) == decode_request(octets + BASE) == decode_request(BASE)


@pytest.mark.parametrize("octets", broken().values(), ids=broken())
def test_what_is_no_protobuf_is_malformed(octets: bytes) -> None:
    for whole in (octets, BASE + octets):
        with pytest.raises(MalformedRequestError):
            decode_request(whole)


def test_100_000_mutants_are_malformed_or_re_encode_to_equal_values() -> None:
    chance = random.Random(19)
    malformed = 0
    for _ in range(MUTANTS):
        octets = mutant(chance)
        try:
            message = decode_request(octets)
        except MalformedRequestError:
            malformed += 1
            continue
        assert decode_request(SmsRequest.FromString(octets).SerializeToString()) == message
    assert MUTANTS // 20 < malformed < MUTANTS * 19 // 20  # both ways out were taken

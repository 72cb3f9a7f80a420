"""Header blocks: what is remembered of them changes nothing of what is read."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, HeaderTuple, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.rpc.header_blocks import KNOWN_BLOCKS, CompressionError, GuardedDecoder

NAME = st.sampled_from([":method", ":path", "te", "authorization", "grpc-timeout", "x-a", "x-b"])
VALUE = st.sampled_from(["POST", "/", "trailers", "a", "b", "c" * 40])
HEADER = st.tuples(NAME, VALUE)
BLOCK = st.lists(st.tuples(HEADER, st.booleans()), max_size=6)


@given(st.lists(BLOCK | st.integers(0, 300), max_size=25))
def test_blocks_are_read_as_hpack_reads_them_whatever_was_read_before(steps: list[object]) -> None:
    """Steps: a block of headers, each indexed by its sender or never, or a new size of the sender's table."""
    encoder, ours, theirs = Encoder(), GuardedDecoder(), Decoder()
    for step in steps:
        if isinstance(step, int):
            encoder.header_table_size = step
            continue
        assert isinstance(step, list)
        kinds = [HeaderTuple if indexed else NeverIndexedHeaderTuple for _, indexed in step]
        block = encoder.encode([kind(*header) for kind, (header, _) in zip(kinds, step, strict=True)])
        assert list(ours.decode(block, raw=True)) == list(theirs.decode(block, raw=True))


def test_what_a_reader_does_to_its_headers_is_not_remembered() -> None:
    encoder, decoder = Encoder(), GuardedDecoder()
    for _ in range(4):
        found = decoder.decode(encoder.encode([("te", "trailers"), ("content-length", "5")]), raw=True)
        assert isinstance(found, list)
        assert found == [(b"te", b"trailers")]
        found.clear()


def test_only_a_few_blocks_are_remembered() -> None:
    decoder = GuardedDecoder()
    for first in range(0x81, 0x90):
        for second in range(0x81, 0x90):
            decoder.decode(bytes((first, second)), raw=True)
    assert len(decoder._known) == KNOWN_BLOCKS


def test_a_bad_block_is_a_compression_error_each_time() -> None:
    decoder = GuardedDecoder()
    for _ in range(2):
        with pytest.raises(CompressionError):
            decoder.decode(b"\xfe", raw=True)  # no entry has this index

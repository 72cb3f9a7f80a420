"""A unary answer in one piece, read back by h2, which did not write it."""

from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, TrailersReceived

from smsproxy.rpc.whole import OK_TRAILERS, OPENING, whole_answer


def a_call(client: H2Connection, stream_id: int) -> None:
    client.send_headers(
        stream_id,
        [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "x")],
        end_stream=True,
    )


def a_client() -> H2Connection:
    client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    client.receive_data(server.data_to_send())
    return client


def kinds(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


@pytest.mark.parametrize("size", [0, 1, 300, 16_384])
def test_h2_reads_headers_message_and_trailers(size: int) -> None:
    client = a_client()
    for stream_id in (1, 3):  # the first one taught the HPACK table nothing
        a_call(client, stream_id)
        events = client.receive_data(whole_answer(stream_id, b"x" * size))
        assert kinds(events) == [ResponseReceived, DataReceived, TrailersReceived, StreamEnded]
        opening, message, trailers, _ = events
        assert isinstance(opening, ResponseReceived)
        assert isinstance(message, DataReceived)
        assert isinstance(trailers, TrailersReceived)
        assert opening.headers == OPENING
        assert (message.stream_id, message.data) == (stream_id, b"x" * size)
        assert trailers.headers == OK_TRAILERS

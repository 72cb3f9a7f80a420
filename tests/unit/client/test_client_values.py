"""Targets, pauses, errors and wire forms: the plain functions of the client."""

from __future__ import annotations

import ssl

import pytest
from client_kit import an_sms
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.exceptions import StreamClosedError
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.client import (
    ClientError,
    ForbiddenError,
    MessageError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    TimedOutError,
    UnauthenticatedError,
    UnavailableError,
    UnreachableError,
)
from smsproxy.client.backoff import Backoff
from smsproxy.client.errors import client_error
from smsproxy.client.messages import wire_request
from smsproxy.rpc.gen.sms.v1 import SmsRequest


def test_pauses_double_to_the_longest_and_begin_again_after_an_answer() -> None:
    backoff = Backoff(1.0)
    assert [backoff.next(0) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.reset()
    assert backoff.next(0.5) == pytest.approx(0.075)


@pytest.mark.parametrize(
    ("foreign", "kind", "text"),
    [
        (GRPCError(Status.UNAUTHENTICATED), UnauthenticatedError, "authentication failed"),
        (GRPCError(Status.PERMISSION_DENIED, "no scope"), ForbiddenError, "no scope"),
        (GRPCError(Status.NOT_FOUND, "no link"), NotFoundError, "no link"),
        (GRPCError(Status.UNAVAILABLE, "two\nlines"), UnavailableError, "two lines"),
        (GRPCError(Status.RESOURCE_EXHAUSTED), RefusedError, "RESOURCE_EXHAUSTED"),
        (GRPCError(Status.DEADLINE_EXCEEDED), TimedOutError, "x:1: no answer in time"),
        (GRPCError(Status.UNIMPLEMENTED), ProtocolError, "x:1: does not speak sms.v1: UNIMPLEMENTED"),
        (TimeoutError(), TimedOutError, "x:1: no answer in time"),
        (ConnectionRefusedError(111, "Connect failed"), UnreachableError, "x:1: connection refused"),
        (OSError("Multiple exceptions:\n a, b"), UnreachableError, "x:1: Multiple exceptions: a, b"),
        (StreamTerminatedError("lost"), UnreachableError, "x:1: the connection broke: lost"),
        (AssertionError("cut"), ProtocolError, "x:1: does not speak sms.v1: cut"),
        (MessageError("mine"), MessageError, "mine"),
    ],
)  # fmt: skip
def test_every_foreign_error_becomes_one_of_ours_with_one_line(
    foreign: BaseException, kind: type[ClientError], text: str
) -> None:
    found = client_error(foreign, "x:1")
    assert type(found) is kind
    assert str(found) == text


def test_a_stream_closed_under_the_writer_is_a_broken_connection() -> None:
    assert isinstance(client_error(StreamClosedError(1), "x:1"), UnreachableError)


@pytest.mark.parametrize("bad", [{"message": "\ud800"}, {"esme": 2**63}, {"daddr": 998}, {"ston": 2**31}])
def test_what_no_field_can_hold_is_told_in_one_line(bad: dict[str, object]) -> None:
    with pytest.raises(MessageError) as caught:
        wire_request(an_sms(**bad), 1, "t")
    assert str(caught.value).startswith("message to send: ")
    assert "\n" not in str(caught.value)


_INT64 = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_TON = st.none() | st.integers(0, 255)


@given(_INT64, _INT64, _TEXT, _TEXT, _TEXT, _TON, _TON)
def test_the_wire_form_is_what_generated_code_reads(
    esme: int, task_id: int, saddr: str, text: str, strategy: str, ston: int | None, dton: int | None
) -> None:
    sms = an_sms(
        esme=esme, task_id=task_id, saddr=saddr, message=text, strategy=strategy, ston=ston, dton=dton
    )
    read = SmsRequest.parse(wire_request(sms, 7, "t-1").SerializeToString())
    assert (read.app_id, read.transaction_id) == (7, "t-1")
    assert (read.esme, read.task_id, read.saddr) == (esme, task_id, saddr)
    assert (read.message, read.strategy) == (text, strategy)
    assert (read.ston, read.snpi, read.dton, read.dnpi) == (ston, None, dton, None)


def test_a_port_without_tls_is_told_in_words() -> None:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    assert str(client_error(error, "127.0.0.1:44044")) == "127.0.0.1:44044: speaks no TLS"

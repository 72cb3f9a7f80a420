"""The codec: upb to domain and back, strict for every kind of message."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpclib.const import Status as GrpcStatus
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_pb2 import HealthCheckRequest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, Status
from smsproxy.rpc.codec import (
    MalformedRequestError,
    StrictCodec,
    decode_request,
    encode_answer,
    encode_framed_answer,
)
from smsproxy.rpc.descriptors import POOL, SmsRequest, SmsResponse
from smsproxy.rpc.gen.sms import v1

FULL = {
    "task_id": 7,
    "transaction_id": "t-1",
    "app_id": 1,
    "esme": 1000,
    "ston": 5,
    "snpi": 0,
    "saddr": "BRAND",
    "dton": 0,
    "dnpi": 1,
    "daddr": "998901234567",
    "message": "Привет, 你好 🙂",
    "sent_at": 1_700_000_000,
    "strategy": "cp1",
}
ANSWER = Answer(
    Status.RATE_LIMITED,
    transaction_id="t-1",
    route_id=100,
    task_id=7,
    error="link 100 is full",
    message_id="01890a5d-ac96-774b-bcce-b302099a8057",
    smsc_ids=("a", "b"),
    retry_after_ms=120,
    repeated=True,
)


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


HAND_MADE_REQUEST = (
    number(1, 7) + text(2, b"t-1") + number(3, 1) + number(4, 1000) + number(5, 5) + number(6, 0)
    + text(7, b"BRAND") + number(8, 0) + number(9, 1) + text(10, b"998901234567")
    + text(11, "Привет, 你好 🙂".encode()) + number(12, 1_700_000_000) + text(13, b"cp1")
)  # fmt: skip
HAND_MADE_ANSWER = (
    text(2, b"link 100 is full") + number(3, 100) + text(4, b"t-1")
    + text(5, b"01890a5d-ac96-774b-bcce-b302099a8057") + text(6, b"rate_limited")
    + text(7, b"a") + text(7, b"b") + number(8, 7) + number(9, 120) + number(10, 1)
)  # fmt: skip


def test_request_bytes_made_by_hand_by_betterproto2_and_by_protobuf_decode_alike() -> None:
    expected = Message(
        app_id=1, route_id=1000, saddr="BRAND", daddr="998901234567", text="Привет, 你好 🙂",
        transaction_id="t-1", task_id=7, ston=5, snpi=0, dton=0, dnpi=1, sent_at=1_700_000_000,
        strategy="cp1",
    )  # fmt: skip
    assert bytes(v1.SmsRequest(**FULL)) == HAND_MADE_REQUEST
    assert SmsRequest(**FULL).SerializeToString() == HAND_MADE_REQUEST
    assert decode_request(HAND_MADE_REQUEST) == expected


def test_optional_fields_are_none_when_absent_and_kept_when_zero() -> None:
    absent = decode_request(SmsRequest(app_id=1).SerializeToString())
    assert (absent.ston, absent.snpi, absent.dton, absent.dnpi) == (None, None, None, None)
    zero = decode_request(SmsRequest(app_id=1, ston=0, snpi=0, dton=0, dnpi=0).SerializeToString())
    assert (zero.ston, zero.snpi, zero.dton, zero.dnpi) == (0, 0, 0, 0)


def test_answer_bytes_are_those_made_by_hand_and_by_betterproto2() -> None:
    assert encode_answer(ANSWER) == HAND_MADE_ANSWER
    theirs = v1.SmsResponse(
        error="link 100 is full", esme=100, transaction_id="t-1", message_id=ANSWER.message_id,
        status="rate_limited", sms_ids=["a", "b"], task_id=7, retry_after_ms=120, repeated=True,
    )  # fmt: skip
    assert bytes(theirs) == HAND_MADE_ANSWER


INT64 = st.integers(-(2**63), 2**63 - 1)
ANSWER_TEXT = st.text(max_size=8) | st.text("ab-", min_size=120, max_size=135) | st.just("é" * 64)


@given(
    st.sampled_from([Status.SUBMITTED, Status.REJECTED]),
    ANSWER_TEXT,
    ANSWER_TEXT,
    st.lists(ANSWER_TEXT, max_size=2) | st.just(["1000000001"]),
    st.sampled_from([0, 1, 127, 128, -1]) | INT64,
    st.sampled_from([0, 1, 127, 128, -1]) | INT64,
    st.sampled_from([("", 0, False), ("why", 0, False), ("", 5, False), ("", 0, True)]),
)
def test_the_answer_written_by_hand_is_what_protobuf_writes(
    status: Status,
    transaction_id: str,
    message_id: str,
    smsc_ids: list[str],
    esme: int,
    task_id: int,
    rest: tuple[str, int, bool],
) -> None:
    error, retry_after_ms, repeated = rest
    answer = Answer(
        status, transaction_id, esme, task_id, error, message_id, tuple(smsc_ids), retry_after_ms, repeated
    )
    theirs = SmsResponse(
        success=status is Status.SUBMITTED, error=error, esme=esme, transaction_id=transaction_id,
        message_id=message_id, status=status.value, sms_ids=smsc_ids, task_id=task_id,
        retry_after_ms=retry_after_ms, repeated=repeated,
    )  # fmt: skip
    assert encode_answer(answer) == theirs.SerializeToString()


def test_only_submitted_is_success() -> None:
    for status in Status:
        response = SmsResponse.FromString(encode_answer(Answer(status)))
        assert response.success == (status is Status.SUBMITTED)
        assert response.status == status.value


def test_framed_answer_has_the_grpc_prefix() -> None:
    packed = encode_answer(ANSWER)
    assert encode_framed_answer(ANSWER) == b"\0" + len(packed).to_bytes(4, "big") + packed


def test_an_answer_that_is_not_unicode_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode_answer(Answer(Status.REJECTED, error="\ud800"))
    with pytest.raises(ValueError, match="surrogates"):
        encode_answer(Answer(Status.SUBMITTED, "\ud800", 1, 1, message_id="x", smsc_ids=("1",)))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    try:
        message = decode_request(data)
    except MalformedRequestError:
        return
    assert isinstance(message.text, str)
    assert isinstance(message.app_id, int)


@given(st.integers(0, len(HAND_MADE_REQUEST) - 1), st.integers(0, 255))
def test_a_mutant_is_refused_or_reads_as_its_own_bytes_say(at: int, octet: int) -> None:
    mutant = bytearray(HAND_MADE_REQUEST)
    mutant[at] = octet
    try:
        message = decode_request(bytes(mutant))
    except MalformedRequestError:
        return
    again = SmsRequest.FromString(bytes(mutant))
    assert message == decode_request(again.SerializeToString())


@pytest.mark.parametrize(
    "data",
    [text(11, b"abc")[:-1], text(11, b"\xff\xfe"), b"\x0f", number(1, 5)[:-1], b"\x00\x01"],
    ids=["cut string", "bad UTF-8", "bad wire type", "cut varint", "field number 0"],
)
def test_what_is_not_protobuf_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        decode_request(data)
    with pytest.raises(GRPCError) as refused:
        StrictCodec().decode(data, v1.SmsRequest)
    assert refused.value.status is GrpcStatus.INVALID_ARGUMENT


def test_a_wrong_wire_type_is_an_unknown_field_for_every_class() -> None:
    data = number(11, 5) + text(3, b"x") + number(4, 100)
    assert decode_request(data) == Message(app_id=0, route_id=100, saddr="", daddr="", text="")
    assert StrictCodec().decode(data, v1.SmsRequest) == v1.SmsRequest(esme=100)


def test_one_codec_serves_all_four_kinds() -> None:
    codec = StrictCodec()
    for message in (v1.CheckEsmeRequest(esme=5), SmsRequest(app_id=5), HealthCheckRequest(service="x")):
        packed = codec.encode(message, type(message))
        assert codec.decode(packed, type(message)) == message
    with pytest.raises(GRPCError):
        codec.decode(b"\x0a\x05ab", HealthCheckRequest)


def test_the_private_pool_stands_beside_the_same_contract_in_another_pool() -> None:
    proto = FileDescriptorProto()
    POOL.FindFileByName("sms/v1/sms.proto").CopyToProto(proto)
    other = DescriptorPool()
    other.Add(proto)
    theirs = GetMessageClass(other.FindMessageTypeByName("sms.v1.SmsRequest"))
    assert theirs is not SmsRequest
    assert decode_request(theirs(**FULL).SerializeToString()).text == FULL["message"]

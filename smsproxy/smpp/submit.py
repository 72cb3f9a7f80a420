"""The fast way to build submit_sm bodies (SMPP v3.4 §4.4.1): joined from three pieces that rarely change.

A prefix per (service_type, sender), options per kind of segment, and what differs: destination, text, TLVs.
The result is everything after the header, which is what `EsmeSession.submit` takes. Called by the links;
equal, octet for octet, to `codec.encode_body(SubmitSm(...))`.
"""

from __future__ import annotations

from functools import lru_cache

from smsproxy.domain.address import Address
from smsproxy.smpp.constants import MAX_SHORT_MESSAGE_OCTETS, TLV_MESSAGE_PAYLOAD
from smsproxy.smpp.fields import encode_address, encode_octet, encode_text
from smsproxy.smpp.tlv import encode_tlvs


@lru_cache(maxsize=4096)  # senders of a gateway: dozens, thousands for numbered ones; about 1 MiB when full
def submit_sm_prefix(service_type: str, source: Address) -> bytes:
    """service_type and the source address. Raises ValueError naming the field that does not fit."""
    return encode_text("service_type", service_type, 5) + encode_address("source_addr", source, 20)


@lru_cache(maxsize=256)  # a dozen kinds of segment per link
def submit_sm_options(
    *,
    esm_class: int = 0,
    protocol_id: int = 0,
    priority_flag: int = 0,
    schedule_delivery_time: str = "",
    validity_period: str = "",
    registered_delivery: int = 0,
    replace_if_present_flag: int = 0,
    data_coding: int = 0,
    sm_default_msg_id: int = 0,
) -> bytes:
    """The fields between the destination and the text. Raises ValueError naming the one that does not fit."""
    return b"".join(
        (
            encode_octet("esm_class", esm_class),
            encode_octet("protocol_id", protocol_id),
            encode_octet("priority_flag", priority_flag),
            encode_text("schedule_delivery_time", schedule_delivery_time, 16),
            encode_text("validity_period", validity_period, 16),
            encode_octet("registered_delivery", registered_delivery),
            encode_octet("replace_if_present_flag", replace_if_present_flag),
            encode_octet("data_coding", data_coding),
            encode_octet("sm_default_msg_id", sm_default_msg_id),
        )
    )


def submit_sm_body(
    prefix: bytes, destination: Address, options: bytes, short_message: bytes, tlvs: bytes = b""
) -> bytes:
    """The whole body. `tlvs` are encoded ones, so those of a link are encoded once.

    Raises ValueError naming the field that does not fit; a text over 254 octets must go as `payload_tlv`.
    """
    ton, npi, digits = destination
    if len(digits) > 20 or "\0" in digits or not digits.isascii():
        encode_address("destination_addr", destination, 20)  # raises, unless it is short Latin-1
    length = len(short_message)
    if length > MAX_SHORT_MESSAGE_OCTETS:
        raise ValueError(f"short_message has {length} octets, at most 254 fit: use message_payload")
    try:
        return b"%b%c%c%b\0%b%c%b%b" % (
            prefix, ton, npi, digits.encode("latin-1"), options, length, short_message, tlvs,
        )  # fmt: skip
    except OverflowError:
        raise ValueError(f"destination_addr ton {ton} or npi {npi} is not 0 to 255") from None


def payload_tlv(text: bytes) -> bytes:
    """The message_payload TLV (§5.3.2.32) for a text that does not fit short_message."""
    return encode_tlvs({TLV_MESSAGE_PAYLOAD: text})

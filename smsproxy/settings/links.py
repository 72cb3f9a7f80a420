"""[links.N] and [pools.N]: our accounts at SMSCs and the named groups of them (spec §3).

Bounds of SMPP fields are the protocol's (v3.4 §4, §5), less the terminating zero; nothing is ever cut to fit.
Who reads it: links (sessions, window, timers, rate), pipeline (text and receipts of a link), and routing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from smsproxy.settings.apps import RouteId
from smsproxy.settings.faults import KeyPath, Report
from smsproxy.settings.fields import AsTuple, FileRef, Host, OctetString, Printable, SecretField, Section
from smsproxy.settings.secrets import Secret
from smsproxy.settings.tlvs import Tlvs

PASSWORD_MAX = 8
LONG_PASSWORD_MAX = 64  # what SMSCs that take more take; the protocol itself says 8
_VALIDITY_PERIOD = re.compile(r"[0-9]{15}[R+-]")

_NO_GSM7_HINT = "; gsm7 = false where it knows Latin-1 only"

DataCoding = Annotated[int, Field(ge=0, le=255)]
Seconds = Annotated[float, Field(ge=0.05, le=3600)]


def _validity_period(text: str) -> str:
    if text and not _VALIDITY_PERIOD.fullmatch(text):
        raise ValueError(
            f"must be 16 characters, YYMMDDhhmmsstnnp (000002000000000R is two days), it has {len(text)}"
        )
    return text


class LinkSettings(Section):
    """One link. Build one directly with `password=Secret("...")`; `load` also reads password_file."""

    LOADED_FROM: ClassVar[Mapping[str, str]] = {"password": "password_file"}

    host: Host = Field("127.0.0.1", description="Host name or address of the SMSC.")
    port: int = Field(2775, ge=1, le=65_535, description="TCP port of the SMSC.")
    enabled: bool = Field(True, description="A disabled link never binds; it answers as not bound.")
    tls: bool = Field(False, description="SMPP over TLS; without it nothing on the way is secret.")
    tls_ca_file: FileRef = Field(
        "", description="CA that signed the SMSC's certificate, PEM; empty is the system's."
    )
    tls_cert_file: FileRef = Field("", description="Our certificate, PEM, where the SMSC asks for one.")
    tls_key_file: FileRef = Field("", description="Private key of tls_cert_file, PEM.")
    tls_server_name: Printable = Field(
        "", max_length=253, description="Name in the certificate; empty is host."
    )
    tls_min_version: Literal["1.2", "1.3"] = Field("1.2", description="Oldest TLS version that is accepted.")
    system_id: OctetString = Field("", max_length=15, description="Our account's name at the SMSC.")
    password_file: FileRef = Field("", description="File with the account's password, at most 8 octets.")
    password: SecretField = Field(
        Secret(), description="The password itself, for development; `load` fills it from password_file."
    )
    system_type: OctetString = Field("", max_length=12, description="system_type of the bind; mostly empty.")
    allow_long_password: bool = Field(
        False, description="Send a password of more than 8 octets (up to 64), where the SMSC takes it."
    )
    account: Printable = Field(
        "",
        max_length=128,
        description="Same text on links of one SMSC account; empty is system_id@host:port.",
    )
    bind: Literal["transceiver", "transmitter_receiver"] = Field(
        "transceiver", description="One session for both directions, or two."
    )
    sessions: int = Field(
        1, ge=1, le=100, description="Parallel binds of this instance; SMSCs allow a handful to some dozens."
    )
    window: int = Field(
        50, ge=1, le=10_000, description="PDUs without an answer per session; SMSCs allow 10 to 1,000."
    )
    rate_per_s: int = Field(
        200,
        ge=0,
        le=10_000_000,
        description="PDUs a second of the link, 0 is unlimited; ten times a host's best.",
    )
    burst: int = Field(
        200, ge=0, le=10_000_000, description="PDUs at once, 0 is max(1, rate_per_s); bounded like the rate."
    )
    max_waiting: int = Field(
        10_000, ge=0, le=1_000_000, description="Messages that wait for a token or slot; about 1 KiB each."
    )
    enquire_link_s: Seconds = Field(
        30, description="Seconds of silence before enquire_link; an hour is deaf."
    )
    response_timeout_s: Seconds = Field(
        10, description="Seconds to an answer, then the segment is in doubt; no SMSC answers after an hour."
    )
    bind_timeout_s: Seconds = Field(
        10, description="Seconds for connect and bind; no SMSC answers after an hour."
    )
    reconnect_max_s: Seconds = Field(
        120, description="Longest delay in seconds between connects; an hour is an outage."
    )
    interface_version: int = Field(
        0x34, ge=0, le=0xFF, description="interface_version of the bind, one octet."
    )
    address_range: OctetString = Field(
        "", max_length=40, description="address_range of the bind; mostly empty."
    )
    gsm7: bool = Field(
        True, description="Whether the SMSC knows GSM7 at all; false: latin1, if set, or UCS2."
    )
    gsm7_data_coding: DataCoding = Field(
        0, description="data_coding that means GSM7 at this SMSC, one octet."
    )
    ucs2_data_coding: DataCoding = Field(
        8, description="data_coding that means UCS2 at this SMSC, one octet."
    )
    latin1: bool = Field(
        False, description="Texts that GSM7 cannot hold and Latin-1 can go in Latin-1, not in UCS2."
    )
    latin1_data_coding: DataCoding = Field(3, description="data_coding that means Latin-1, one octet.")
    national_shift: Annotated[tuple[Literal["turkish", "spanish", "portuguese"], ...], AsTuple] = Field(
        (), description="Languages whose shift tables the SMSC passes on (3GPP TS 23.038 Annex A)."
    )
    transliterate: bool = Field(
        False, description="Replace characters outside GSM7 by their nearest inside it."
    )
    long_messages: Literal["udh8", "udh16", "sar", "payload"] = Field(
        "udh8", description="How segments are joined: 8- or 16-bit header, SAR TLVs, or message_payload."
    )
    receipt_id: Literal["raw", "hex_response_decimal_receipt", "decimal_response_hex_receipt", "hex"] = Field(
        "raw", description="How the SMSC writes ids in answers and receipts; raw compares them as received."
    )
    receipt_by_text: bool = Field(
        False,
        description="Take a text of a receipt's shape for one, where the SMSC marks it in no other way.",
    )
    registered_delivery: Literal["all", "last", "none"] = Field(
        "all", description="Receipts asked for: every segment's, the last one's (settles all), or none."
    )
    validity_period: Annotated[OctetString, AfterValidator(_validity_period)] = Field(
        "", description="validity_period of submit_sm: empty, or 16 characters (SMPP v3.4 §7.1.1)."
    )
    priority: int = Field(
        0, ge=0, le=3, description="priority_flag of submit_sm, 0 to 3 (SMPP v3.4 §5.2.14)."
    )
    service_type: OctetString = Field(
        "", max_length=5, description="service_type of submit_sm; mostly empty."
    )
    tlvs: Tlvs = Field(
        default_factory=dict, description='Constant TLVs: { 0x1400 = "text" }, hex:0A0B, or integers.'
    )

    @property
    def account_name(self) -> str:
        """What SMSC ids are unique within (spec §3, `account`)."""
        return self.account or f"{self.system_id}@{self.host}:{self.port}"


class PoolMember(Section):
    """One link of a pool."""

    link: RouteId = Field(0, description="Id of the link; 0 is nobody's and means that it was not given.")
    weight: int = Field(
        1, ge=1, le=10_000, description="Share of the traffic; finer than 1 in 10,000 is no share."
    )


class PoolSettings(Section):
    """One pool: links that take each other's place."""

    members: Annotated[tuple[PoolMember, ...], AsTuple] = Field(
        (), max_length=1000, description="The links and their weights; 1,000 is more than any operator has."
    )


def check_link(link: LinkSettings, at: KeyPath, report: Report) -> None:
    """The rules that need more than one key of the table."""
    if not link.system_id and report.clean((*at, "system_id")):
        report.fault((*at, "system_id"), "is missing: the account's name at the SMSC")
    if "host" not in link.model_fields_set and report.clean((*at, "host")):
        report.warn((*at, "host"), f"is not given: the link connects to {link.host}")
    _check_password(link, at, report)
    _check_tls(link, at, report)
    _check_data_codings(link, at, report)
    _check_no_gsm7(link, at, report)


def _check_password(link: LinkSettings, at: KeyPath, report: Report) -> None:
    key = (*at, "password_file" if link.password_file else "password")
    if not link.password:
        if report.clean(key) and "password" not in link.model_fields_set:
            report.warn(key, "is not given: the link binds with an empty password")
        return
    try:
        octets = link.password.text().encode("latin-1")
    except UnicodeError:
        report.fault(key, "must be Latin-1: one octet a character on the wire")
        return
    if b"\0" in octets:
        report.fault(key, "an SMPP password has no zero octet in it")
    limit = LONG_PASSWORD_MAX if link.allow_long_password else PASSWORD_MAX
    if len(octets) > limit:
        hint = "" if link.allow_long_password else "; allow_long_password = true sends it whole"
        report.fault(key, f"an SMPP password has at most {limit} octets, this one has {len(octets)}{hint}")


def _check_tls(link: LinkSettings, at: KeyPath, report: Report) -> None:
    if bool(link.tls_cert_file) != bool(link.tls_key_file):
        missing = "tls_key_file" if link.tls_cert_file else "tls_cert_file"
        report.fault((*at, missing), "a certificate and its key are given together")
    if not link.tls and (link.tls_ca_file or link.tls_cert_file or link.tls_server_name):
        report.warn((*at, "tls"), "is false although tls_* keys are set: the link is in the clear")


def _check_data_codings(link: LinkSettings, at: KeyPath, report: Report) -> None:
    """Two alphabets under one number: whatever the SMSC takes it for, handsets would misread the other."""
    numbers = {"ucs2_data_coding": link.ucs2_data_coding}
    if link.gsm7:
        numbers = {"gsm7_data_coding": link.gsm7_data_coding, **numbers}
    if link.latin1:
        numbers["latin1_data_coding"] = link.latin1_data_coding
    taken: dict[int, str] = {}
    for key, number in numbers.items():
        other = taken.setdefault(number, key)
        if other != key and report.clean((*at, key)):
            hint = _NO_GSM7_HINT if (other, key) == ("gsm7_data_coding", "latin1_data_coding") else ""
            report.fault((*at, key), f"is {number} as {other} is: the SMSC could not tell them apart{hint}")


def _check_no_gsm7(link: LinkSettings, at: KeyPath, report: Report) -> None:
    """What only GSM7 has is refused on a link without it, so that nothing looks switched on and is not."""
    if link.gsm7:
        return
    for key in ("national_shift", "transliterate"):
        if getattr(link, key) and report.clean((*at, key)):
            report.fault((*at, key), "needs GSM7, and gsm7 is false on this link")


def check_pool(pool: PoolSettings, at: KeyPath, links: Mapping[int, LinkSettings], report: Report) -> None:
    members = (*at, "members")
    if not pool.members and report.clean(members):
        report.fault(members, "a pool has at least one member")
    seen: set[int] = set()
    for index, member in enumerate(pool.members):
        key = (*members, str(index), "link")
        if not member.link:
            report.fault(key, "is missing: the id of a link")
        elif member.link in seen:
            report.fault(key, f"link {member.link} is a member twice; give it one weight")
        elif member.link not in links:
            report.fault(key, f"there is no link {member.link}")
        seen.add(member.link)
    known = [links[link] for link in seen if link in links]
    if known and not any(link.enabled for link in known):
        report.warn(members, "every member is disabled: the pool cannot send")

"""Random valid PDUs of every kind, for the properties of the codec and the session."""

from __future__ import annotations

from hypothesis import strategies as st

from smsproxy.domain.address import Address
from smsproxy.smpp import pdu as p

OCTET = st.integers(0, 255)
TLVS = st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=12), max_size=3)


def latin1(max_size: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=max_size)


def addresses(max_size: int = 20) -> st.SearchStrategy[Address]:
    return st.builds(Address, OCTET, OCTET, latin1(max_size))


def _short_message(kind: type[p.SubmitSm] | type[p.DeliverSm]) -> st.SearchStrategy[p.Pdu]:
    return st.builds(
        kind, latin1(5), addresses(), addresses(), OCTET, OCTET, OCTET, st.just("") | latin1(16),
        st.just("") | latin1(16), OCTET, OCTET, OCTET, OCTET, st.binary(max_size=254), TLVS,
    )  # fmt: skip


KINDS = st.sampled_from(p.BindKind)
BINDS = st.builds(p.Bind, KINDS, latin1(15), latin1(8), latin1(12), OCTET, OCTET, OCTET, latin1(40))
SUBMITS = _short_message(p.SubmitSm)
DELIVERS = _short_message(p.DeliverSm)
PDUS = st.one_of(
    BINDS,
    SUBMITS,
    DELIVERS,
    st.builds(p.BindResp, KINDS, latin1(15), TLVS),
    st.builds(p.Outbind, latin1(15), latin1(8)),
    st.sampled_from([p.Unbind(), p.UnbindResp(), p.EnquireLink(), p.EnquireLinkResp(), p.GenericNack()]),
    st.builds(p.SubmitSmResp, latin1(64), TLVS),
    st.builds(p.DeliverSmResp, latin1(64), TLVS),
    st.builds(p.DataSm, latin1(5), addresses(64), addresses(64), OCTET, OCTET, OCTET, TLVS),
    st.builds(p.DataSmResp, latin1(64), TLVS),
    st.builds(p.QuerySm, latin1(64), addresses()),
    st.builds(p.QuerySmResp, latin1(64), latin1(16), OCTET, OCTET),
    st.builds(p.AlertNotification, addresses(64), addresses(64), TLVS),
    st.builds(p.UnknownPdu, st.sampled_from([0x7, 0x21, 0x99, 0x80000099]), st.binary(max_size=30)),
)

"""From a message to submit_sm bodies, by one link's settings. Plain functions; the session adds the header.

registered_delivery goes on every segment that shall have a receipt (§5.2.17): on all, or on the last alone.
"""

from __future__ import annotations

from collections import OrderedDict

from smsproxy.links.base import Submission
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import ESM_CLASS_UDHI
from smsproxy.smpp.submit import payload_tlv, submit_sm_body, submit_sm_options, submit_sm_prefix
from smsproxy.smpp.tlv import encode_tlvs, sar_tlvs

_REFERENCES_MAX = 10_000
"""Destinations whose last concatenation reference is remembered; the one unused longest is forgotten."""
_RECEIPT_WANTED = 1


class Submitter:
    """Builds the bodies of one link and counts concatenation references per destination."""

    __slots__ = ("_references", "_settings", "_tlvs")

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._tlvs = encode_tlvs(settings.tlvs)
        self._references: OrderedDict[str, int] = OrderedDict()

    def next_reference(self, digits: str) -> int:
        """1 to 65535 and round again, per destination: two long texts to one phone never share it."""
        reference = self._references.pop(digits, 0) % 0xFFFF + 1
        self._references[digits] = reference
        if len(self._references) > _REFERENCES_MAX:
            self._references.popitem(last=False)
        return reference

    def body(self, submission: Submission, segment_no: int) -> bytes:
        """The submit_sm body (§4.4.1) of one segment, counted from 1."""
        settings, text = self._settings, submission.text
        octets = text.user_data(segment_no - 1, submission.reference)
        tlvs = self._tlvs
        if text.concatenation == "payload":
            tlvs, octets = tlvs + payload_tlv(octets), b""
        elif text.concatenation == "sar":
            tlvs += sar_tlvs(submission.reference, text.parts, segment_no)
        return submit_sm_body(
            submit_sm_prefix(settings.service_type, submission.source),
            submission.destination,
            submit_sm_options(
                esm_class=ESM_CLASS_UDHI if text.udhi else 0,
                priority_flag=settings.priority,
                validity_period=settings.validity_period,
                registered_delivery=self._registered_delivery(segment_no, text.parts),
                data_coding=text.data_coding,
            ),
            octets,
            tlvs,
        )

    def _registered_delivery(self, segment_no: int, parts: int) -> int:
        wanted = self._settings.registered_delivery
        if wanted == "none" or (wanted == "last" and segment_no < parts):
            return 0
        return _RECEIPT_WANTED

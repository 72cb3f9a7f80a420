"""From a message to submit_sm bodies, by one link's settings. The session adds the header.

registered_delivery goes on every segment that shall have a receipt (§5.2.17): on all, or on the last alone.
Called by the link for every segment it writes.
"""

from __future__ import annotations

from smsproxy.links.base import Submission
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import ESM_CLASS_UDHI
from smsproxy.smpp.submit import payload_tlv, submit_sm_body, submit_sm_options, submit_sm_prefix
from smsproxy.smpp.tlv import encode_tlvs, sar_tlvs

_RECEIPT_WANTED = 1
_OptionsKey = tuple[bool, bool, int]
"""(has a user data header, wants a receipt, data_coding)."""


class Submitter:
    """Builds the bodies of one link."""

    __slots__ = ("_options", "_service_type", "_settings", "_single", "_tlvs")

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._service_type = settings.service_type
        self._tlvs = encode_tlvs(settings.tlvs)
        self._options: dict[_OptionsKey, bytes] = {}
        self._single: dict[int, bytes] = {}
        """The same for texts that need one segment and no header, by data_coding alone."""

    def body(self, submission: Submission, segment_no: int) -> bytes:
        """The submit_sm body (§4.4.1) of one segment, counted from 1."""
        text, tlvs = submission.text, self._tlvs
        prefix = submit_sm_prefix(self._service_type, submission.source)
        if not text.concatenation and not text.shift_elements:  # nine messages of ten
            options = self._single.get(text.data_coding) or self._new_single(text.data_coding)
            return submit_sm_body(prefix, submission.destination, options, text.bodies[0], tlvs)
        octets = text.user_data(segment_no - 1, submission.reference)
        if text.concatenation == "payload":
            tlvs, octets = tlvs + payload_tlv(octets), b""
        elif text.concatenation == "sar":
            tlvs += sar_tlvs(submission.reference, text.parts, segment_no)
        key = (text.udhi, self._wants_receipt(segment_no, text.parts), text.data_coding)
        options = self._options.get(key) or self._new_options(key)
        return submit_sm_body(prefix, submission.destination, options, octets, tlvs)

    def _wants_receipt(self, segment_no: int, parts: int) -> bool:
        wanted = self._settings.registered_delivery
        return wanted == "all" or (wanted == "last" and segment_no == parts)

    def _new_single(self, data_coding: int) -> bytes:
        options = self._single[data_coding] = self._new_options(
            (False, self._wants_receipt(1, 1), data_coding)
        )
        return options

    def _new_options(self, key: _OptionsKey) -> bytes:
        """The fields that only the kind of segment decides; a handful of kinds per link, so they are kept."""
        udhi, wants_receipt, data_coding = key
        options = self._options[key] = submit_sm_options(
            esm_class=ESM_CLASS_UDHI if udhi else 0,
            priority_flag=self._settings.priority,
            validity_period=self._settings.validity_period,
            registered_delivery=_RECEIPT_WANTED if wants_receipt else 0,
            data_coding=data_coding,
        )
        return options

"""The golden receipts as PDUs: read by the parser's own test, and sent over the wire by the rows.

`CASES` are the tables of receipts/receipts.toml, whose head says what their keys mean.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from smsproxy.smpp import constants as c
from smsproxy.smpp.pdu import DataSm, DeliverSm

_FILE = Path(__file__).parent / "receipts" / "receipts.toml"
CASES: list[dict[str, Any]] = tomllib.loads(_FILE.read_text())["receipt"]


def pdu_of(case: dict[str, Any]) -> DeliverSm | DataSm:
    """The PDU that a case describes."""
    tlvs = {}
    if "tlv_id" in case:
        tlvs[c.TLV_RECEIPTED_MESSAGE_ID] = case["tlv_id"].encode("latin-1")
    if "tlv_state" in case:
        tlvs[c.TLV_MESSAGE_STATE] = bytes((case["tlv_state"],))
    if "tlv_state_hex" in case:
        tlvs[c.TLV_MESSAGE_STATE] = bytes.fromhex(case["tlv_state_hex"])
    if "tlv_err" in case:
        tlvs[c.TLV_NETWORK_ERROR_CODE] = bytes.fromhex(case["tlv_err"])
    if "payload" in case:
        tlvs[c.TLV_MESSAGE_PAYLOAD] = case["payload"].encode("latin-1")
    esm_class = case.get("esm_class", c.ESM_CLASS_RECEIPT)
    if case.get("pdu") == "data_sm":
        return DataSm(esm_class=esm_class, tlvs=tlvs)
    text = case.get("text", "").encode("latin-1") or case.get("text_ucs2", "").encode("utf-16-be")
    return DeliverSm(esm_class=esm_class, short_message=text, tlvs=tlvs)

"""One key for the id of a submit_sm_resp and the id in its receipt, however the SMSC writes the two.

Some SMSCs answer in hexadecimal and report in decimal, or pad one of them with zeros. A link's `receipt_id`
setting says which; nothing is guessed, so ids compare exactly as received unless the operator said otherwise.
Called by the links for every accepted segment and every receipt.
"""

from __future__ import annotations

from typing import Literal

ReceiptIdRule = Literal["raw", "hex_response_decimal_receipt", "decimal_response_hex_receipt", "hex"]
Side = Literal["response", "receipt"]

_MAX_ID_OCTETS = 64  # §5.2.23; also keeps int() of a hostile text cheap
_UUID_DIGITS = 32
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_BASES: dict[tuple[ReceiptIdRule, Side], int] = {
    ("hex_response_decimal_receipt", "response"): 16,
    ("hex_response_decimal_receipt", "receipt"): 10,
    ("decimal_response_hex_receipt", "response"): 10,
    ("decimal_response_hex_receipt", "receipt"): 16,
    ("hex", "response"): 16,
    ("hex", "receipt"): 16,
}


def receipt_key(smsc_id: str, rule: ReceiptIdRule, side: Side) -> str:
    """The key under which response and receipt meet.

    Under `raw` it is the id itself. Under the others a wholly numeric id becomes its value in decimal, of any
    size, so case and leading zeros do not matter; where decimal was announced but the text has the letters
    of a hexadecimal number, it is one. UUIDs and anything else that is no number stay untouched.
    """
    if rule == "raw" or not 0 < len(smsc_id) <= _MAX_ID_OCTETS or not _HEX_DIGITS.issuperset(smsc_id):
        return smsc_id
    if smsc_id.isdigit():
        return str(int(smsc_id, _BASES[rule, side]))
    if len(smsc_id) == _UUID_DIGITS:
        return smsc_id  # a UUID without its dashes
    return str(int(smsc_id, 16))

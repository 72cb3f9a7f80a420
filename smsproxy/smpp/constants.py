"""Numbers of SMPP v3.4 and their names: command ids, command statuses, TLV tags, esm_class bits.

Status codes and command names come from smpplib, the only place of the package that imports
it; the rest is ours. Called by every module of `smpp`, and by links and the simulator for the ESME_ names.
"""

from __future__ import annotations

from typing import Final

from smpplib import command_codes, consts

# §5.1.2 command_id: bit 31 marks a response.
RESPONSE_BIT: Final = 0x80000000
GENERIC_NACK: Final = 0x80000000
BIND_RECEIVER: Final = 0x00000001
BIND_RECEIVER_RESP: Final = 0x80000001
BIND_TRANSMITTER: Final = 0x00000002
BIND_TRANSMITTER_RESP: Final = 0x80000002
QUERY_SM: Final = 0x00000003
QUERY_SM_RESP: Final = 0x80000003
SUBMIT_SM: Final = 0x00000004
SUBMIT_SM_RESP: Final = 0x80000004
DELIVER_SM: Final = 0x00000005
DELIVER_SM_RESP: Final = 0x80000005
UNBIND: Final = 0x00000006
UNBIND_RESP: Final = 0x80000006
BIND_TRANSCEIVER: Final = 0x00000009
BIND_TRANSCEIVER_RESP: Final = 0x80000009
OUTBIND: Final = 0x0000000B
ENQUIRE_LINK: Final = 0x00000015
ENQUIRE_LINK_RESP: Final = 0x80000015
ALERT_NOTIFICATION: Final = 0x00000102
DATA_SM: Final = 0x00000103
DATA_SM_RESP: Final = 0x80000103

MAX_SEQUENCE_NUMBER: Final = 0x7FFFFFFF
"""§5.1.4: a request carries 1 to this; responses echo whatever the request had."""

# §5.1.3 command_status: the ones we decide on or answer with. All others are known by number and name.
ESME_ROK: Final[int] = consts.SMPP_ESME_ROK
ESME_RINVMSGLEN: Final[int] = consts.SMPP_ESME_RINVMSGLEN
ESME_RINVCMDLEN: Final[int] = consts.SMPP_ESME_RINVCMDLEN
ESME_RINVCMDID: Final[int] = consts.SMPP_ESME_RINVCMDID
ESME_RINVBNDSTS: Final[int] = consts.SMPP_ESME_RINVBNDSTS
ESME_RALYBND: Final[int] = consts.SMPP_ESME_RALYBND
ESME_RSYSERR: Final[int] = consts.SMPP_ESME_RSYSERR
ESME_RINVSRCADR: Final[int] = consts.SMPP_ESME_RINVSRCADR
ESME_RINVDSTADR: Final[int] = consts.SMPP_ESME_RINVDSTADR
ESME_RBINDFAIL: Final[int] = consts.SMPP_ESME_RBINDFAIL
ESME_RINVPASWD: Final[int] = consts.SMPP_ESME_RINVPASWD
ESME_RINVSYSID: Final[int] = consts.SMPP_ESME_RINVSYSID
ESME_RMSGQFUL: Final[int] = consts.SMPP_ESME_RMSGQFUL
ESME_RTHROTTLED: Final[int] = consts.SMPP_ESME_RTHROTTLED
ESME_RX_T_APPN: Final[int] = consts.SMPP_ESME_RX_T_APPN
ESME_RX_P_APPN: Final[int] = consts.SMPP_ESME_RX_P_APPN

# §5.3.2 optional parameters we read or write.
TLV_RECEIPTED_MESSAGE_ID: Final = 0x001E
TLV_SAR_MSG_REF_NUM: Final = 0x020C
TLV_SAR_TOTAL_SEGMENTS: Final = 0x020E
TLV_SAR_SEGMENT_SEQNUM: Final = 0x020F
TLV_SC_INTERFACE_VERSION: Final = 0x0210
TLV_NETWORK_ERROR_CODE: Final = 0x0423
TLV_MESSAGE_PAYLOAD: Final = 0x0424
TLV_MESSAGE_STATE: Final = 0x0427

# §5.2.12 esm_class.
ESM_CLASS_TYPE_MASK: Final = 0x3C
ESM_CLASS_RECEIPT: Final = 0x04
ESM_CLASS_INTERMEDIATE: Final = 0x20
ESM_CLASS_UDHI: Final = 0x40

MAX_SHORT_MESSAGE_OCTETS: Final = 254
"""§5.2.21: longer texts go in the message_payload TLV."""

INTERFACE_VERSION_34: Final = 0x34

_STATUS_NAMES: Final[dict[int, str]] = {
    code: name.removeprefix("SMPP_") for name, code in vars(consts).items() if name.startswith("SMPP_ESME_")
}
_COMMAND_NAMES: Final[dict[int, str]] = {code: name for name, code in command_codes.commands.items()}


def status_text(command_status: int) -> str:
    """``ESME_RINVDSTADR 0x0000000B``; a status the protocol does not know is ``ESME_VENDOR 0x00000400``."""
    return f"{_STATUS_NAMES.get(command_status, 'ESME_VENDOR')} 0x{command_status:08X}"


def command_name(command_id: int) -> str:
    """``submit_sm_resp``, or ``command 0x00000099`` for an id the protocol does not know."""
    return _COMMAND_NAMES.get(command_id) or f"command 0x{command_id:08X}"

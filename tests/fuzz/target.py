"""The promise about any octets, as one function: they are parsed, or refused by one of the named errors.

`check` takes octets as an SMSC might send them and raises AssertionError, or whatever came out that should
not have, on the first broken promise. Called by the runner (`run`), and by atheris (`fuzz_smpp`).
"""

from __future__ import annotations

from smsproxy.smpp import constants as c
from smsproxy.smpp import events as e
from smsproxy.smpp.codec import decode, encode
from smsproxy.smpp.errors import BadPduError, FramingLostError
from smsproxy.smpp.framing import Framer
from smsproxy.smpp.options import SessionOptions
from smsproxy.smpp.pdu import BindKind, BindResp, DataSm, DeliverSm
from smsproxy.smpp.receipt import parse_receipt, read_receipt_frame
from smsproxy.smpp.receipt_id import receipt_key
from smsproxy.smpp.session import EsmeSession

_OPTIONS = SessionOptions("esme", "secret", window=2)
_BOUND = encode(BindResp(BindKind.TRANSCEIVER, "smsc"), 1)
_BODY = bytes(17)
_OWNERS = ("first", "second")  # submits in flight, with the sequence numbers 2 and 3
_ENDS = (e.SubmitAnswered, e.Nacked, e.SubmitLost)


def check(data: bytes) -> str:
    """What became of the octets: `parsed`, `refused` (some PDU in them) or `lost` (no SMPP at all)."""
    frames, lost = _framed(data)
    refused = False
    for frame in frames:
        refused |= not _decoded(frame)
    _decoded(data)  # also what no framer would hand over
    _session_survives(data, lost)
    return "lost" if lost else "refused" if refused else "parsed"


def _framed(data: bytes) -> tuple[list[bytes], bool]:
    """The PDUs, the same however the octets are cut; whether the framing is lost."""
    whole = _fed([data])
    middle = len(data) // 2
    assert _fed([data[:middle], data[middle:]]) == whole, "cut in two it reads otherwise"
    frames, _ = whole
    assert data.startswith(b"".join(frames)), "octets were lost or made up"
    return whole


def _fed(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    framer = Framer()
    frames: list[bytes] = []
    try:
        for piece in pieces:
            frames += framer.feed(piece)
    except FramingLostError as error:
        return frames + list(error.frames), True
    return frames, False


def _decoded(frame: bytes) -> bool:
    """Whether it was a PDU, and a receipt that can be read if it was any."""
    try:
        header, pdu = decode(frame)
        assert header.command_id == pdu.command_id
        if not isinstance(pdu, DeliverSm | DataSm):
            return True
        parse_receipt(pdu, by_text=True)
        receipt = parse_receipt(pdu)
        found = read_receipt_frame(frame) if isinstance(pdu, DeliverSm) else None
        if found is not None:
            assert receipt is not None
            assert found == (receipt.smsc_id, receipt.state, receipt.stat, receipt.err), "read otherwise"
    except (BadPduError, FramingLostError):
        return False
    if receipt is not None:
        assert receipt.smsc_id
        assert receipt.stat
        for rule in ("raw", "hex", "hex_response_decimal_receipt"):
            receipt_key(receipt.smsc_id, rule, "receipt")
    return True


def _session_survives(data: bytes, lost: bool) -> None:
    """A bound session reads them: both submits end once, what it says is SMPP, and the end is told once."""
    session = EsmeSession(_OPTIONS)
    session.start(0)
    session.receive(_BOUND, 0)
    for owner in _OWNERS:
        session.reserve()
        session.submit(_BODY, owner, 0)
    session.data_to_send()
    events = session.receive(data, 1)
    assert session.closed or not lost, "it goes on although nobody knows where the next PDU begins"
    for event in events:
        if isinstance(event, e.Delivered):
            session.answer_deliver(event, c.ESME_ROK)
        elif isinstance(event, e.ReceiptDelivered):
            session.answer_receipts([event.sequence_number], c.ESME_ROK)
    said = session.data_to_send()
    events += session.lost()
    ended = [event.owner for event in events if isinstance(event, _ENDS)]
    assert sorted(map(str, ended)) == list(_OWNERS), "each submit ends exactly once"
    assert [type(event) for event in events].count(e.Closed) == 1
    for frame in Framer().feed(said):
        header, _ = decode(frame)
        assert header.command_id != c.SUBMIT_SM, "nothing is ever sent again"

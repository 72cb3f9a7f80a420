"""A very cheap SMSC for the bench, a process of its own: `python -m tests.bench.fast_smsc --receipts`.

It takes any bind, answers each submit_sm with an id from one decimal counter and, when asked, sends a
DELIVRD receipt after the responses of the same read, in the same write. No faults, no delays, no checks of
what it is sent: that is the product simulator's work (`smsproxy smsc`). One join and one write per read,
and a rest of --tick-ms between reads, so that its own cost stays far below the gateway's.

Prints {"listening": "host:port"} first, one JSON line of counts on SIGUSR1, and one more on SIGTERM before
it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop

BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER = 0x01, 0x02, 0x09
SUBMIT_SM, DELIVER_SM_RESP, UNBIND, ENQUIRE_LINK = 0x04, 0x80000005, 0x06, 0x15
RESPONSE = 0x80000000
ESME_RINVCMDID, ESME_RINVBNDSTS = 0x03, 0x04
_UNBIND_RESP, _ENQUIRE_LINK_RESP = UNBIND | RESPONSE, ENQUIRE_LINK | RESPONSE
_BINDS = (BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER)
_MAX_PDU_OCTETS = 65_536
_FIRST_ID = 1_000_000_001  # ten digits from the first to the last: lengths are constant

_HEAD = struct.Struct(">LLLL")
# submit_sm_resp but for its sequence_number: 16 octets of header, ten digits and NUL
_SUBMIT_RESP = struct.pack(">LLL", 27, SUBMIT_SM | RESPONSE, 0)
# esm_class 4 (receipt); protocol_id, priority, times, registered_delivery, replace, data_coding, default 0
_RECEIPT_FIELDS = b"\x04\0\0\0\0\0\0\0\0"
_SC_INTERFACE_VERSION = b"\x02\x10\x00\x01\x34"


class Smsc:
    """What all sessions share: the id counter, the counts, who takes receipts for which system_id."""

    def __init__(self, *, receipts: bool, tick_s: float) -> None:
        self.receipts = receipts
        self.tick_s = tick_s
        self.next_id = _FIRST_ID
        self.receivers: dict[bytes, Session] = {}
        self.sessions = self.binds = self.enquire_links = self.unbinds = 0
        self.receipts_sent = self.receipts_lost = self.receipts_answered = self.receipts_refused = 0
        self.bad_pdus = 0
        self.last_submit_at = self.last_receipt_answered_at = 0.0
        self._second = 0
        self._receipt_end = b""

    def receipt_end(self) -> bytes:
        """The receipt's text after the id, with this minute's dates; made once a second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            date = time.strftime("%y%m%d%H%M", time.gmtime(second)).encode()
            self._receipt_end = (
                b" sub:001 dlvrd:001 submit date:%b done date:%b stat:DELIVRD err:000 text:" % (date, date)
            )
        return self._receipt_end

    def as_json(self) -> dict[str, float]:
        """Counts since the start; times are CLOCK_MONOTONIC seconds, comparable over processes."""
        return {
            "sessions": self.sessions,
            "binds": self.binds,
            "submits": self.next_id - _FIRST_ID,
            "receipts_sent": self.receipts_sent,
            "receipts_answered": self.receipts_answered,
            "receipts_refused": self.receipts_refused,
            "receipts_lost": self.receipts_lost,
            "enquire_links": self.enquire_links,
            "unbinds": self.unbinds,
            "bad_pdus": self.bad_pdus,
            "last_submit_at": self.last_submit_at,
            "last_receipt_answered_at": self.last_receipt_answered_at,
            "cpu_s": round(time.process_time(), 4),
        }


class Session(asyncio.Protocol):
    """One TCP life of an ESME."""

    def __init__(self, smsc: Smsc) -> None:
        self._smsc = smsc
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._tail = b""
        self._system_id = b""
        self._bound = 0
        self._sequence_number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._smsc.sessions += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._smsc.receivers.get(self._system_id) is self:
            del self._smsc.receivers[self._system_id]

    def write(self, octets: bytes) -> None:
        """Hand octets to the socket, if it still lives."""
        if self._transport is not None and octets:
            self._transport.write(octets)

    def data_received(self, data: bytes) -> None:
        buffer = self._tail + data if self._tail else data
        position, end = 0, len(buffer)
        answers: list[bytes] = []
        submits: list[tuple[int, int]] = []  # positions of submit_sm, and the id each was given
        smsc, unpack = self._smsc, _HEAD.unpack_from
        answered = 0
        while end - position >= 16:
            length, command_id, status, sequence_number = unpack(buffer, position)
            if not 16 <= length <= _MAX_PDU_OCTETS:
                self._close_bad(answers)
                return
            if position + length > end:
                break
            if command_id == SUBMIT_SM and self._bound:
                smsc_id = smsc.next_id
                smsc.next_id = smsc_id + 1
                answers += (_SUBMIT_RESP, buffer[position + 12 : position + 16], b"%d\0" % smsc_id)
                submits.append((position, smsc_id))
            elif command_id == DELIVER_SM_RESP:
                answered += 1
                smsc.receipts_refused += status != 0
            else:
                answers.append(
                    self._rare(command_id, sequence_number, buffer[position + 16 : position + length])
                )
            position += length
        self._tail = buffer[position:]
        self._after(buffer, answers, submits, answered)

    def _after(
        self, buffer: bytes, answers: list[bytes], submits: list[tuple[int, int]], answered: int
    ) -> None:
        """The read is parsed: count, write the responses and after them the receipts, rest."""
        smsc = self._smsc
        if answered:
            smsc.receipts_answered += answered
            smsc.last_receipt_answered_at = time.monotonic()
        taker = None
        if submits:
            smsc.last_submit_at = time.monotonic()
            if smsc.receipts:
                taker = self if self._bound == BIND_TRANSCEIVER else smsc.receivers.get(self._system_id)
                smsc.receipts_lost += len(submits) if taker is None else 0
        receipts = taker.receipts(buffer, submits) if taker is not None else []
        if taker is self:
            answers += receipts
        self.write(b"".join(answers))
        if taker is not None and taker is not self:
            taker.write(b"".join(receipts))
        if smsc.tick_s and self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_later(smsc.tick_s, self._resume)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def receipts(self, buffer: bytes, submits: list[tuple[int, int]]) -> list[bytes]:
        """A deliver_sm for each submit_sm at (position, id) of `buffer` that asks for one."""
        text_end = self._smsc.receipt_end()
        fixed = 16 + 1 + len(_RECEIPT_FIELDS) + 1 + len("id:1234567890") + len(text_end)
        text_octets = bytes((len("id:1234567890") + len(text_end),))
        parts: list[bytes] = []
        find, pack, sequence_number = buffer.find, _HEAD.pack, self._sequence_number
        for position, smsc_id in submits:
            source = find(0, position + 16) + 1  # ton, npi, source_addr, NUL
            destination = find(0, source + 2) + 1  # ton, npi, destination_addr, NUL
            fields = find(0, destination + 2) + 1  # esm_class, protocol_id, priority_flag, two C strings
            registered = find(0, find(0, fields + 3) + 1) + 1
            if not buffer[registered] & 1:
                continue
            sequence_number = sequence_number % 0x7FFFFFFF + 1
            parts += (
                pack(fixed + fields - source, 5, 0, sequence_number),
                b"\0",
                buffer[destination:fields],  # the handset is the source now
                buffer[source:destination],
                _RECEIPT_FIELDS,
                text_octets,
                b"id:%d" % smsc_id,
                text_end,
            )
            self._smsc.receipts_sent += 1
        self._sequence_number = sequence_number
        return parts

    def _rare(self, command_id: int, sequence_number: int, body: bytes) -> bytes:
        """The answer to anything that is not traffic."""
        smsc = self._smsc
        if command_id in _BINDS:
            smsc.binds += 1
            self._bound = command_id
            self._system_id = body[: body.index(0)] if 0 in body else body
            if command_id != BIND_TRANSMITTER:
                smsc.receivers[self._system_id] = self
            return _pdu(command_id | RESPONSE, 0, sequence_number, b"fast_smsc\0" + _SC_INTERFACE_VERSION)
        if command_id == ENQUIRE_LINK:
            smsc.enquire_links += 1
            return _pdu(_ENQUIRE_LINK_RESP, 0, sequence_number)
        if command_id == UNBIND:
            smsc.unbinds += 1
            self._bound = 0
            if self._transport is not None:
                self._loop.call_soon(self._transport.close)  # after the answer was written
            return _pdu(_UNBIND_RESP, 0, sequence_number)
        if command_id & RESPONSE:
            return b""
        smsc.bad_pdus += 1
        if command_id == SUBMIT_SM:
            return _pdu(SUBMIT_SM | RESPONSE, ESME_RINVBNDSTS, sequence_number)
        return _pdu(RESPONSE, ESME_RINVCMDID, sequence_number)

    def _close_bad(self, answers: list[bytes]) -> None:
        """A length that cannot be: answer what came before it, then close."""
        self._smsc.bad_pdus += 1
        self.write(b"".join(answers))
        if self._transport is not None:
            self._transport.close()


def _pdu(command_id: int, status: int, sequence_number: int, body: bytes = b"") -> bytes:
    return _HEAD.pack(16 + len(body), command_id, status, sequence_number) + body


async def serve(host: str, port: int, smsc: Smsc, session: Callable[[], Session] | None = None) -> None:
    """Listen until SIGTERM. `session` makes another kind of session (late_smsc)."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: _report(smsc))
    listener = socket.create_server((host, port))
    server = await loop.create_server(session or partial(Session, smsc), sock=listener)
    print(json.dumps({"listening": f"{host}:{listener.getsockname()[1]}"}), flush=True)
    await stopped.wait()
    server.close()


def _report(smsc: Smsc) -> None:
    print(json.dumps(smsc.as_json()), flush=True)


def main() -> int:
    """Command line of the bench's SMSC."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fast_smsc", description="A cheap SMSC.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 = any free one")
    parser.add_argument(
        "--receipts", action="store_true", help="a DELIVRD receipt for each submit_sm that asks"
    )
    parser.add_argument(
        "--tick-ms", type=float, default=1.0, help="rest between two reads of a session; 0 = none"
    )
    args = parser.parse_args()
    gc.disable()  # nothing here makes cycles worth a pause
    smsc = Smsc(receipts=args.receipts, tick_s=args.tick_ms / 1000)
    uvloop.run(serve(args.host, args.port, smsc))
    _report(smsc)
    return 0


if __name__ == "__main__":
    sys.exit(main())

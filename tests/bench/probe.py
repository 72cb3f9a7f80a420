"""The SMSC's own delay as a peer sees it: one enquire_link at a time on a session of its own beside the load.

The bench's SMSC answers everything in one thread, so an enquire_link waits there as long as a submit_sm does.
Used by latency.py around each open-loop round; fifty questions a second.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

from tests.bench.histogram import Histogram

_HEAD = struct.Struct(">LLLL")
_ENQUIRE_LINK = 0x15
_EVERY_S = 0.02
_TIMEOUT_S = 5.0


@contextlib.contextmanager
def probing(address: str) -> Iterator[Histogram]:
    """Ask while the block runs. The histogram is whole after it. Raises OSError if nobody listens there."""
    host, _, port = address.rpartition(":")
    seen, ended = Histogram(), threading.Event()
    with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as smsc:
        smsc.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(target=_ask, args=(smsc, seen, ended), daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join(2 * _TIMEOUT_S)


def _ask(smsc: socket.socket, seen: Histogram, ended: threading.Event) -> None:
    number = 0
    with smsc.makefile("rb") as answers:
        while not ended.wait(_EVERY_S):
            number += 1
            asked_at = time.monotonic()
            smsc.sendall(_HEAD.pack(16, _ENQUIRE_LINK, 0, number))
            if len(answers.read(16)) < 16:
                return  # the round's own counts tell that the SMSC has ended
            seen.record(time.monotonic() - asked_at)

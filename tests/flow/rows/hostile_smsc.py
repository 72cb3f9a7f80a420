"""An SMSC that accepts a bind and then says what it should not: one kind of octets a connection, in turn."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

from smsproxy.smpp.codec import decode, encode
from smsproxy.smpp.framing import Framer
from smsproxy.smpp.pdu import Bind, BindResp, Pdu

_WAIT_S = 30.0  # daemon and simulators start meanwhile


class HostileSmsc:
    """`with`. Says `octets[n]` on the nth connection, a byte a write when it dribbles, then listens.

    `heard[n]` is what came back, as (status, PDU); `hung_up[n]` says whether that ended the connection. One
    that lives is left once it has answered an enquire_link. `seconds[n]`: from the last octet to either.
    """

    def __init__(self, octets: list[bytes], *, dribble: bool = False) -> None:
        self._octets = octets
        self._dribble = dribble
        self.heard: list[list[tuple[int, Pdu]]] = []
        self.hung_up: list[bool] = []
        self.seconds: list[float] = []
        self.done = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_WAIT_S)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> HostileSmsc:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(_WAIT_S)

    def _serve(self) -> None:
        for octets in self._octets:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(_WAIT_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._talk(connection, octets)
        self.done.set()

    def _talk(self, connection: socket.socket, octets: bytes) -> None:
        """One connection, until the peer hangs up or shows that its session lives."""
        pdus = _pdus(connection)
        sequence_number, _, bind = next(pdus)
        assert isinstance(bind, Bind)
        connection.sendall(encode(BindResp(bind.kind, "hostile"), sequence_number))
        for piece in [bytes((octet,)) for octet in octets] if self._dribble else [octets]:
            connection.sendall(piece)
        said_at = time.monotonic()
        heard: list[tuple[int, Pdu]] = []
        self.heard.append(heard)
        self.hung_up.append(True)
        for _, status, pdu in pdus:
            heard.append((status, pdu))
            if type(pdu).__name__ == "EnquireLinkResp":
                self.hung_up[-1] = False
                break
        self.seconds.append(time.monotonic() - said_at)


def _pdus(connection: socket.socket) -> Iterator[tuple[int, int, Pdu]]:
    """(sequence_number, command_status, PDU) of all that comes, to the end of the connection."""
    framer = Framer()
    while data := connection.recv(65536):
        for frame in framer.feed(data):
            header, pdu = decode(frame)
            yield header.sequence_number, header.command_status, pdu

"""The daemon without its fence, for the bench's row `fence` alone: `python -m tests.bench.unfenced run`.

What bounds callers is put out of force in this process, before the daemon is assembled: the frame budgets
and checks before h2, the patience with slow and silent ones, the places of the listener, and the size of a
message at its prefix. All that carries a message stays as it is. smsproxy itself has no such switch.
"""

from __future__ import annotations

from smsproxy.__main__ import main
from smsproxy.rpc import flow, guard, http2
from smsproxy.rpc.buffer import PREFIX_BYTES, MessageBuffer
from smsproxy.rpc.fence import END_HEADERS, Fence
from smsproxy.rpc.places import Places
from smsproxy.rpc.sweep import Sweeper


class NoFence(Fence):
    """Lets every frame through uncounted."""

    def screen(self, kind: int, flags: int, stream_id: int, frame: bytes) -> bytes:
        return frame

    def fed(self, flags: int) -> None:
        self.in_headers = not flags & END_HEADERS

    def empty_data(self) -> None:
        pass

    def crumbs(self, frames: int) -> None:
        pass


class NoSweeper(Sweeper):
    """Never looks."""

    def wake(self) -> None:
        pass


class NoPlaces(Places):
    """Has room for everyone, whoever they are."""

    def take(self, address: str) -> bool:
        return not self.closed

    def give_back(self, address: str) -> None:
        pass


class NoBoundBuffer(MessageBuffer):
    """Takes a message of any size, as it is announced."""

    __slots__ = ()

    def _split(self, data: bytes) -> None:
        at, end = 0, len(data)
        need = PREFIX_BYTES
        while end - at >= PREFIX_BYTES:
            need = PREFIX_BYTES + int.from_bytes(data[at + 1 : at + PREFIX_BYTES])
            if at + need > end:
                break
            self._messages.append(data[at + PREFIX_BYTES : at + need])
            at += need
            need = PREFIX_BYTES
        if at < end:
            self._partial += data[at:]
            self._need = need


def take_down() -> None:
    """From now on servers of this process have no fence."""
    http2.Fence = NoFence
    guard.Sweeper = NoSweeper
    guard.Places = NoPlaces
    flow.MessageBuffer = NoBoundBuffer


if __name__ == "__main__":
    take_down()
    main()

"""Channels whose daemon takes no more calls: it drains, and has set the limit of streams to 0 (spec §9).

grpclib makes a new call on such a connection wait for a place, which never comes, and does not even wake it
when the connection ends. So `Connection` asks here before each call, and dials anew; the calls that are under
way on the old channel finish there. Read from grpclib's private parts (a test of ours holds them still).
"""

from __future__ import annotations

from grpclib.client import Channel


def takes_no_calls(channel: Channel) -> bool:
    """Whether its daemon has said that no new stream may be opened."""
    protocol = channel._protocol
    if protocol is None or not channel._connected:
        return False
    return not protocol.connection._connection.remote_settings.max_concurrent_streams


class Retired:
    """Channels on which the last calls finish. Bounded by the drains of one daemon in `drain_s`."""

    def __init__(self) -> None:
        self._channels: list[Channel] = []

    def __len__(self) -> int:
        return len(self._channels)

    def add(self, channel: Channel) -> None:
        """Keep it until its daemon has closed it; those that are closed go now."""
        over = [one for one in self._channels if not one._connected]
        self._channels = [one for one in self._channels if one._connected]
        self._channels.append(channel)
        for one in over:
            one.close()

    def close(self) -> None:
        """Close them all; calls under way on them end."""
        for channel in self._channels:
            channel.close()
        self._channels.clear()

"""What h2's events mean for the streams of a guarded connection.

grpclib's dispatch without its traps: unknown frame types are ignored, one stream too many is refused alone,
empty DATA is accepted, and streams that wait to write are called when they can. `http2` feeds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from grpclib import protocol
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    SettingsAcknowledged,
    WindowUpdated,
)
from h2.settings import SettingCodes

from smsproxy.rpc.flow import GuardedConnection, GuardedStream

if TYPE_CHECKING:
    from smsproxy.rpc.guard import GuardedHandler

FAREWELL_PING = b"farewell"
KEEPALIVE_PING = b"stillher"


class GuardedEvents(protocol.EventsProcessor):
    """One per connection.

    `idle` is called whenever the connection may have become idle, `ponged` when FAREWELL_PING was answered,
    `gone` when the caller said GOAWAY.
    """

    connection: GuardedConnection
    handler: GuardedHandler
    streams: dict[int, GuardedStream]  # type: ignore[assignment]  # ours are the only ones made here

    def __init__(
        self,
        handler: GuardedHandler,
        connection: GuardedConnection,
        *,
        idle: Callable[[], None],
        ponged: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        super().__init__(handler, connection)
        self._idle = idle
        self._ponged = ponged
        self._gone = gone
        self.begun = False
        """The peer's preface and first SETTINGS came: it speaks HTTP/2."""

    def process(self, event: Event) -> None:
        """Unknown frame types are ignored (RFC 9113 §5.5); grpclib would drop the connection."""
        process = getattr(self, "processors", {}).get(event.__class__)
        if process is None:
            self.connection.counters.unknown_frames_total += 1
        else:
            process(event)

    def register(self, stream: protocol.Stream) -> Callable[[], None]:
        guarded = cast(GuardedStream, stream)
        stream_id = cast(int, guarded.id)
        self.streams[stream_id] = guarded

        def release() -> None:
            self.streams.pop(stream_id, None)
            guarded.on_writable = None
            guarded.buffer.close(guarded.connection.taken)
            self._idle()

        return release

    def process_request_received(self, event: RequestReceived) -> None:
        h2 = self.connection.h2
        # The limit in force is the acknowledged one: a stream on its way before is still served.
        limit = h2.local_settings.max_concurrent_streams
        if not limit and not self.handler.draining:
            # The connection retires for its age. grpcio may open a stream right behind its acknowledgement,
            # and repeats a refused one once only: an age must not end a call.
            limit = self.connection.options.max_streams_per_connection
        if h2.inbound_open >= limit:
            self.connection.counters.streams_refused_total += 1
            h2.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return
        super().process_request_received(event)

    def process_data_received(self, event: DataReceived) -> None:
        length = event.flow_controlled_length
        data = event.data or b""
        self.connection.received(length)
        stream = self.streams.get(event.stream_id)
        if stream is None:
            self.connection.taken(length)
            return
        if length > len(data):
            stream.padded(length - len(data))
        stream.buffer.add(data)

    def terminate(self, stream_id: int) -> None:
        """A stream that we reset: its call is over, as if its caller had left."""
        stream = self.streams.get(stream_id)
        if stream is not None:
            self.handler.cancel(stream)

    def process_window_updated(self, event: WindowUpdated) -> None:
        if event.stream_id:
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                stream.writable()
        else:
            self.writable()

    def process_remote_settings_changed(self, event: RemoteSettingsChanged) -> None:
        self.begun = True
        if SettingCodes.INITIAL_WINDOW_SIZE in (event.changed_settings or {}):
            self.writable()

    def process_settings_acknowledged(self, event: SettingsAcknowledged) -> None:
        self._idle()

    def process_connection_terminated(self, event: ConnectionTerminated) -> None:
        """GOAWAY from the caller. h2 sends nothing after it, so no answer could reach that caller."""
        self._gone()

    def process_ping_ack_received(self, event: PingAckReceived) -> None:
        super().process_ping_ack_received(event)
        if event.ping_data == FAREWELL_PING:
            self._ponged()

    def writable(self) -> None:
        for stream in list(self.streams.values()):
            stream.writable()

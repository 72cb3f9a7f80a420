"""The numbers of the gRPC edge and what it counts. app.py fills both from Settings and reads the counters."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

KIB = 1024


@dataclass(frozen=True, slots=True)
class RpcOptions:
    """Bounds of the edge (spec §3, `[server]`). The windows are HTTP/2 receive windows."""

    stream_window: int = 1024
    """Messages of one SendMessageStream that are not yet ended."""
    stream_reorder_max: int = 16_384
    """Ended answers of one stream that may wait behind an earlier one."""
    max_message_bytes: int = 64 * KIB
    default_deadline_s: float = 30.0
    """For unary calls without grpc-timeout."""
    max_connections: int = 512
    max_connections_per_address: int = 64
    max_streams_per_connection: int = 100
    max_header_list_bytes: int = 16 * KIB
    stream_receive_window: int = 256 * KIB
    connection_receive_window: int = 1024 * KIB
    max_held_bytes: int = 4096 * KIB
    """Received and not yet taken by a handler, over all streams of a connection: past it the connection's own
    window is not refilled. Below it a slowed campaign does not stop the calls beside it."""
    max_health_watches: int = 1000
    max_resets_per_10s: int = 200
    """That are also over half of the streams opened: `budgets`."""
    first_byte_s: float = 5.0
    """For the TLS handshake, and then for the preface and the first SETTINGS."""
    message_s: float = 10.0
    idle_s: float = 300.0
    max_age_s: float = 3600.0
    ping_interval_s: float = 10.0
    """PINGs closer together, with nothing sent between, are strikes. gRPC's clients may not go below it."""
    keepalive_s: float = 60.0
    keepalive_timeout_s: float = 20.0
    """gRPC's own default for the answer to a keepalive PING."""
    reuse_port: bool = False
    trusted_proxies: tuple[str, ...] = ()
    """Networks, and perhaps "unix", whose connections begin with a PROXY header."""

    @property
    def stream_window_bytes(self) -> int:
        """At least two of the largest message: a window smaller than a message would never let it in."""
        return max(self.stream_receive_window, 2 * (self.max_message_bytes + 5))

    @property
    def max_header_block_bytes(self) -> int:
        """Encoded header blocks, CONTINUATION included. HPACK makes lists shorter, never this much longer."""
        return 4 * self.max_header_list_bytes

    @property
    def connection_window_bytes(self) -> int:
        return max(self.connection_receive_window, self.stream_window_bytes)


@dataclass(slots=True)
class RpcCounters:
    """Plain integers, read at scrape time. A bound that refuses something has its counter here."""

    connections: int = 0
    """Open now."""
    connections_total: int = 0
    connections_refused_total: int = 0
    """At max_connections or max_connections_per_address."""
    client_certs_missing_total: int = 0
    """Good tokens on a connection without the certificate that their app needs."""
    streams_refused_total: int = 0
    """Past max_streams_per_connection, or after the drain took effect."""
    calls_total: int = 0
    calls_refused_total: int = 0
    """Ended by the edge itself: headers, deadlines, size, compression, authentication."""
    messages_total: int = 0
    """SmsRequests read from SendMessage and SendMessageStream."""
    messages_malformed_total: int = 0
    messages_oversized_total: int = 0
    answers_total: int = 0
    answers_dropped_total: int = 0
    """Ended after the caller had left; they are in the record."""
    window_full_total: int = 0
    """A stream stopped reading at stream_window or at its unwritten answers."""
    crowded_total: int = 0
    """A stream stopped reading because nearly `max_in_flight` messages of all callers are on their way."""
    reorder_full_total: int = 0
    """A stream stopped reading at stream_reorder_max."""
    turns_total: int = 0
    """Reads with more frames than a slice, new connections, late calls: they waited for their turn."""
    turns_full_total: int = 0
    """Too much waited: handled at once."""
    watches_refused_total: int = 0
    messages_unfinished_total: int = 0
    """Did not arrive within message_s."""
    connections_ended_by: dict[str, int] = field(default_factory=dict)
    """Why we ended connections: a flood (`budgets.Flood`), lost patience (`watch.Verdict`), or what came
    before HTTP/2 (`gate`: tls, alpn, proxy)."""
    stream_faults_total: int = 0
    """Frames against the rules of HTTP/2 that ended their stream alone."""
    protocol_errors_total: int = 0
    unknown_frames_total: int = 0
    internal_errors_total: int = 0
    streams_by_status: dict[str, int] = field(default_factory=dict)
    """gRPC status name to calls ended with it; at most the 17 names of gRPC."""

    def count_end(self, cause: str) -> None:
        """We ended a connection."""
        self.connections_ended_by[cause] = self.connections_ended_by.get(cause, 0) + 1

    def as_dict(self) -> dict[str, int | dict[str, int]]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

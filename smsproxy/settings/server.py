"""[server] and [http]: the two listeners and the fences around the gRPC edge (spec §3).

Who reads it: rpc (guard, drain), http, and app.py for the instance name.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field

from smsproxy.domain.endpoint import Endpoint, parse_endpoint
from smsproxy.settings.faults import KeyPath, Report
from smsproxy.settings.fields import AsTuple, FileRef, Printable, Section

UNIX_PROXY = "unix"
"""In trusted_proxies: who connects to our Unix socket is a balancer."""
_KEY = "Private key of tls_cert_file, PEM; empty when it is in the same file."


def _listen(text: str) -> str:
    parse_endpoint(text)
    return text


def _listen_or_off(text: str) -> str:
    return _listen(text) if text else text


def _network(text: str) -> str:
    if text == UNIX_PROXY:
        return text
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"must be an address or a network like 10.0.0.0/24: {error}") from None
    return text


class ServerSettings(Section):
    """[server]: the gRPC listener."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        "127.0.0.1:44044", description="Address of the gRPC listener: host:port, [v6]:port or unix:/path."
    )
    instance: Printable = Field(
        "",
        max_length=64,
        description="Name of this instance in records and limits; empty is hostname + listen.",
    )
    reuse_port: bool = Field(
        False, description="Several instances share the port (SO_REUSEPORT); needs a shared store."
    )
    tls_cert_file: FileRef = Field(
        "", description="Certificate chain of the listener, PEM; empty is plaintext."
    )
    tls_key_file: FileRef = Field("", description=_KEY)
    tls_client_ca_file: FileRef = Field(
        "",
        description="Callers need a certificate of this CA (mTLS), PEM: all, or those of the apps that say "
        "client_cert_required.",
    )
    stream_window: int = Field(
        1024,
        ge=1,
        le=1_000_000,
        description="Messages of a stream not yet ended before reading stops; a million is no bound.",
    )
    stream_reorder_max: int = Field(
        16_384,
        ge=1,
        le=10_000_000,
        description="Encoded answers of a stream kept behind an earlier one; about 200 octets each.",
    )
    max_in_flight: int = Field(
        50_000,
        ge=1,
        le=10_000_000,
        description="Messages of all callers not yet ended; about 1 KiB each, so the bound is some 10 GiB.",
    )
    max_message_bytes: int = Field(
        65_536,
        ge=256,
        le=16_777_216,
        description="Largest gRPC message in octets; below 256 no request fits, gRPC defaults to 4 MiB.",
    )
    max_connections: int = Field(
        512, ge=1, le=100_000, description="Open connections; the bound is a host's usual descriptor limit."
    )
    max_connections_per_address: int = Field(
        64,
        ge=1,
        le=100_000,
        description="Open connections of one peer address; bounded like max_connections.",
    )
    trusted_proxies: Annotated[
        tuple[Annotated[str, AfterValidator(_network)], ...],
        AsTuple,
    ] = Field(
        (),
        max_length=1000,
        description="Networks of balancers that speak PROXY protocol v2; unix: those on the Unix socket.",
    )
    max_resets_per_10s: int = Field(
        200,
        ge=1,
        le=1_000_000,
        description="Stream resets of a connection in 10 s before it is closed; a million is rapid reset.",
    )
    first_byte_s: float = Field(
        5, ge=0.05, le=3600, description="Seconds a new connection may be silent; an hour is no protection."
    )
    message_s: float = Field(
        10, ge=0.05, le=3600, description="Seconds one message may take to arrive; an hour is no protection."
    )
    idle_s: float = Field(
        300, ge=0.05, le=86_400, description="Seconds a connection may be idle; at most a day."
    )
    max_age_s: float = Field(
        3600, ge=0.05, le=2_592_000, description="Seconds a connection lives, +/- 10 %; at most 30 days."
    )
    default_deadline_s: float = Field(
        30, ge=0.05, le=3600, description="Seconds for unary calls without grpc-timeout; at most an hour."
    )
    drain_s: float = Field(
        30, ge=0, le=600, description="Longest drain in seconds; keep it under the unit's TimeoutStopSec."
    )

    @property
    def address(self) -> Endpoint:
        return parse_endpoint(self.listen)

    def instance_name(self, hostname: str) -> str:
        """The name in records and limits: the configured one, else hostname + listen (spec §3)."""
        return self.instance or f"{hostname}+{self.listen}"


class HttpSettings(Section):
    """[http]: /healthz, /readyz and /metrics."""

    listen: Annotated[str, AfterValidator(_listen_or_off)] = Field(
        "127.0.0.1:8088", description="Address of the HTTP listener; empty turns it off."
    )
    tls_cert_file: FileRef = Field(
        "", description="Certificate chain of the listener, PEM; empty is plaintext."
    )
    tls_key_file: FileRef = Field("", description=_KEY)

    @property
    def address(self) -> Endpoint | None:
        """None when HTTP is off."""
        return parse_endpoint(self.listen) if self.listen else None


def check_server(server: ServerSettings, at: KeyPath, report: Report) -> None:
    if server.tls_client_ca_file and not server.tls_cert_file:
        report.fault((*at, "tls_client_ca_file"), "client certificates need tls_cert_file as well")
    for index, name in enumerate(server.trusted_proxies):
        if (name == UNIX_PROXY) != bool(server.address.unix_path):
            report.warn(
                (*at, "trusted_proxies", str(index)), f"{name}: nobody comes from there to {server.listen}"
            )
    if not server.address.loopback and not server.tls_cert_file:
        report.warn(
            (*at, "listen"), "reachable from other hosts without TLS: tokens and numbers go in the clear"
        )


def check_listeners(server: ServerSettings, http: HttpSettings, report: Report) -> None:
    ephemeral = not server.address.unix_path and not server.address.port
    if http.listen == server.listen and not ephemeral:
        report.fault(("http", "listen"), f"is the gRPC listener's address ({server.listen})")

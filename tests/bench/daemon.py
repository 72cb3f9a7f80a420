"""The daemon's files for a bench run: settings as TOML in the run's folder, secrets, token, certificate.

Made without the product's own code, so that the bench also holds when that is what is being changed.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

APP_ID = 1
LINK_ID = 100
POOL_ID = 99
_SYSTEM_ID = "bench"
_TOKEN_TTL_S = 6 * 3600
Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DaemonFiles:
    """Where the daemon is reached and what it and its clients read."""

    config: Path
    grpc: str
    http: str
    token: str
    certificate: Path | None
    store: Path
    account: str
    """As the store names the account of the link."""


def prepare(
    directory: Path,
    smsc: str,
    overlay: Table,
    *,
    tls: bool,
    places: Mapping[str, str],
    links: int = 1,
) -> DaemonFiles:
    """Write everything `smsproxy run --config` needs into `directory`; `smsc` is the SMSC's host:port.

    `places`: what "{name}" in a text of `overlay` stands for. With several `links`, each is an account of its
    own at the SMSC, and all are one pool.
    """
    secret = secrets.token_urlsafe(32)
    (directory / "app.secret").write_text(secret)
    (directory / "link.password").write_text("bench")
    grpc, http = (f"127.0.0.1:{port}" for port in _free_ports(2))
    certificate = make_certificate(directory) if tls else None
    settings = _merged(_settings(directory, smsc, grpc, http, links), overlay)
    if certificate is not None:
        tls_files = {"tls_cert_file": str(certificate), "tls_key_file": str(certificate.with_suffix(".key"))}
        settings = _merged(settings, {"server": tls_files})
    config = directory / "smsproxy.toml"
    text = to_toml(settings)
    for name, url in places.items():
        text = text.replace(f"{{{name}}}", url)
    config.write_text(text)
    claims = {"app_id": APP_ID, "exp": int(time.time()) + _TOKEN_TTL_S}
    token = jwt.encode(claims, secret, algorithm="HS256")
    return DaemonFiles(config, grpc, http, token, certificate, _store(directory), f"{_SYSTEM_ID}@{smsc}")


def _settings(directory: Path, smsc: str, grpc: str, http: str, links: int) -> Table:
    host, _, port = smsc.rpartition(":")
    link = {
        "host": host,
        "port": int(port),
        "system_id": _SYSTEM_ID,
        "password_file": str(directory / "link.password"),
        "window": 1000,
        "rate_per_s": 0,
        "registered_delivery": "all",
    }
    more = range(LINK_ID + 1, LINK_ID + links)
    return {
        "server": {"listen": grpc},
        "http": {"listen": http},
        "apps": {str(APP_ID): {"name": "bench", "secret_file": str(directory / "app.secret")}},
        "store": {"url": f"sqlite://{_store(directory)}"},
        "links": {str(LINK_ID): link}
        | {str(number): link | {"system_id": f"bench{number}"} for number in more},
        "pools": {str(POOL_ID): {"members": [{"link": number} for number in (LINK_ID, *more)]}},
    }


def _store(directory: Path) -> Path:
    return directory / "smsproxy.db"


def _merged(under: Table, over: Table) -> Table:
    """`over` laid over `under`, table by table."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def to_toml(table: Table, path: str = "") -> str:
    """TOML of nested tables of text, numbers, booleans and lists of them or of tables; keys must be bare."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{path}]"] if path and plain else []
    lines += [f"{key} = {_value(value)}" for key, value in plain.items()]
    text = "\n".join(lines) + "\n" if lines else ""
    for key, value in table.items():
        if isinstance(value, Mapping):
            text += to_toml(value, f"{path}.{key}" if path else key)
    return text


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def make_certificate(directory: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, `bench.key` beside it; made once per folder."""
    pem = directory / "bench.pem"
    if pem.exists():
        return pem
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(days=1),
    )
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    pem.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.with_suffix(".key").write_bytes(private)
    return pem

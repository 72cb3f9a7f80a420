"""Certificates and keys of the listeners, looked at when the configuration is read.

So that a wrong file is a fault with its key at the start, not a refused handshake at night. Who calls:
`checks`, for [server] and [http].
"""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from smsproxy.settings.faults import KeyPath, Report

MAX_PEM_BYTES = 1 << 20
"""A bundle of all public CAs has a quarter of that; a path to something endless must not hang us."""


def check_tls(cert: str, key: str, client_ca: str, at: KeyPath, report: Report) -> None:
    """Everything that can be known of a listener's files before the first handshake."""
    if not cert:
        if key:
            report.fault((*at, "tls_key_file"), "a key needs tls_cert_file as well")
        return
    chain = _certificates(cert, (*at, "tls_cert_file"), report)
    private = _private_key(key or cert, (*at, "tls_key_file"), report) if chain or key else None
    if chain and private is not None and _spki(chain[0].public_key()) != _spki(private.public_key()):
        report.fault((*at, "tls_key_file"), f"is not the key of the certificate in {cert}")
    if client_ca:
        _certificates(client_ca, (*at, "tls_client_ca_file"), report)


def _certificates(name: str, at: KeyPath, report: Report) -> list[x509.Certificate]:
    octets = _octets(name, at, report)
    if octets is None:
        return []
    try:
        chain = x509.load_pem_x509_certificates(octets)
    except ValueError:
        report.fault(at, f"{name} holds no PEM certificate (-----BEGIN CERTIFICATE-----)")
        return []
    ends = chain[0].not_valid_after_utc
    if ends < datetime.now(UTC):
        report.warn(at, f"the certificate expired on {ends:%Y-%m-%d}: callers will refuse it")
    return chain


def _private_key(name: str, at: KeyPath, report: Report) -> PrivateKeyTypes | None:
    octets = _octets(name, at, report)
    if octets is None:
        return None
    try:
        private = load_pem_private_key(octets, None)
    except TypeError:
        report.fault(at, f"the key in {name} is encrypted; give it without a password")
    except (ValueError, UnsupportedAlgorithm):
        report.fault(at, f"{name} holds no PEM private key (-----BEGIN PRIVATE KEY-----)")
    else:
        if stat.S_IMODE(Path(name).stat().st_mode) & 0o004:
            report.warn(at, f"every user of this host can read it: chmod 600 {name}")
        return private
    return None


def _octets(name: str, at: KeyPath, report: Report) -> bytes | None:
    """None when it cannot be read, which is reported."""
    try:
        with open(name, "rb") as file:
            octets = file.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        report.fault(at, f"cannot read {name}: {error.strerror}")
        return None
    if len(octets) > MAX_PEM_BYTES:
        report.fault(at, f"{name} has more than {MAX_PEM_BYTES} octets")
        return None
    return octets


def _spki(public: PublicKeyTypes) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

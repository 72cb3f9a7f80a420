"""Public keys of apps, looked at when the configuration is read.

So that a wrong file is a fault at the start, not a refused token at night. Who calls: `check_app`.
"""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

RSA_MIN_BITS = 2048  # RFC 7518 §3.3


def public_key_fault(pem: bytes, algorithm: str) -> str:
    """What is wrong with a PEM public key for this algorithm; empty when nothing is."""
    if b"PRIVATE KEY" in pem:
        return "is a private key: give the public one, and keep the private one away from this host"
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "is not a PEM public key (-----BEGIN PUBLIC KEY-----)"
    match algorithm:
        case "RS256":
            if not isinstance(key, RSAPublicKey):
                return "is not an RSA key, as RS256 needs"
            if key.key_size < RSA_MIN_BITS:
                return f"is an RSA key of {key.key_size} bits; RS256 needs {RSA_MIN_BITS}"
        case "ES256":
            if not (isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)):
                return "is not a P-256 key, as ES256 needs"
        case _:
            if not isinstance(key, Ed25519PublicKey | Ed448PublicKey):
                return "is not an Ed25519 or Ed448 key, as EdDSA needs"
    return ""

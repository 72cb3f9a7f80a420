"""What every side of TLS does with PEM files: load a chain without asking anybody, say what is wrong with it.

Used by the listeners' contexts (`server_tls`), the links' and the commands'.
"""

from __future__ import annotations

import ssl


def load_chain(context: ssl.SSLContext, cert: str, key: str) -> None:
    """A certificate with its private key; an empty `key`: it is in the file of the certificate.

    Raises OSError. An encrypted key is an error, too: OpenSSL would ask for its password on the terminal and
    hold the loop.
    """
    context.load_cert_chain(cert, key or None, _no_password)


def reason(error: OSError) -> str:
    """Why a file could not be used, in OpenSSL's word or the system's."""
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error)
    return error.strerror or str(error)


def words(error: OSError) -> str:
    """`reason` as the end of an error line."""
    return f"not usable ({reason(error)})" if isinstance(error, ssl.SSLError) else reason(error)


def _no_password() -> str:
    raise OSError("the key is encrypted; give it without a password")

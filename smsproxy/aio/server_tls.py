"""TLS of a listener: the context behind the gRPC and the HTTP door. Called at the start and at every SIGHUP.

TLS 1.2 at least, with the ciphers that HTTP/2 leaves (RFC 9113 §9.2.2), no renegotiation. Files are read here
and nowhere later: a context in use does not change when they do.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from smsproxy.aio.tls_files import load_chain, words

H2 = "h2"
HTTP_1 = "http/1.1"
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2. Those of TLS 1.3 are all good."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. An empty `key`: it is in the file of the certificate. An empty `client_ca`: callers are not
    asked for a certificate; with one they are, and `client_required` closes on those who show none."""

    cert: str
    key: str = ""
    client_ca: str = ""
    client_required: bool = False


def server_context(files: TlsFiles, protocol: str) -> ssl.SSLContext:
    """Raises OSError with the file at fault in its text. `protocol` is what ALPN offers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols([protocol])
    try:
        load_chain(context, files.cert, files.key)
    except OSError as error:
        named = f"{files.cert} with {files.key}" if files.key else files.cert
        raise OSError(f"{named}: {words(error)}") from error
    if files.client_ca:
        try:
            context.load_verify_locations(files.client_ca)
        except OSError as error:
            raise OSError(f"{files.client_ca}: {words(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED if files.client_required else ssl.CERT_OPTIONAL
    return context

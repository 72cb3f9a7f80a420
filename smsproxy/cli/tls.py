"""TLS of the commands that call the daemon: whom they trust, and what they show.

On the daemon's own host the configuration names its certificate: that very one is trusted, under whatever
name the daemon is dialled. With --tls-ca-file the usual rules hold: a certificate of that CA, for the dialled
name.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from smsproxy.aio.tls_files import reason
from smsproxy.cli.failures import failed
from smsproxy.cli.options import TlsOptions

_END = "-----END CERTIFICATE-----"


def client_tls(listener_cert_file: str, tls: TlsOptions) -> ssl.SSLContext | None:
    """None: the daemon speaks plaintext. Raises CommandError that names the file that does not do."""
    if tls.key_file is not None and tls.cert_file is None:
        raise failed("--tls-key-file needs --tls-cert-file as well")
    if tls.ca_file is not None:
        context = _trusting_ca(tls.ca_file)
    elif listener_cert_file:
        context = _trusting_one(Path(listener_cert_file))
    elif tls.cert_file is not None:
        raise failed("--tls-cert-file: the configuration has no server.tls_cert_file; name --tls-ca-file")
    else:
        return None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file, _no_password)
        except OSError as error:
            raise failed(f"--tls-cert-file {tls.cert_file}: not usable ({reason(error)})") from None
    return context


def _trusting_ca(file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise failed(f"--tls-ca-file {file}: not usable ({reason(error)})") from None


def _trusting_one(file: Path) -> ssl.SSLContext:
    """Trusts the first certificate of the file, and nothing that it or those after it have signed."""
    try:
        first, end, _ = file.read_text().partition(_END)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # it is this very certificate, or the handshake fails
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=first + end)
    except OSError as error:
        raise failed(f"server.tls_cert_file {file}: not usable ({reason(error)})") from None
    return context


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    raise OSError("the key is encrypted")

"""TLS towards an SMSC: the certificate is always checked; SMPP itself has no secrecy.

Called by the runner before every connect, so that renewed files are in force at the next one.
"""

from __future__ import annotations

import ssl

from smsproxy.settings import LinkSettings

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(settings: LinkSettings) -> ssl.SSLContext | None:
    """The context for one link, None without TLS. Reads files; raises OSError that names key and file."""
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
    except OSError as error:
        raise OSError(f"tls_ca_file {settings.tls_ca_file}: {_words(error)}") from error
    context.minimum_version = _VERSIONS[settings.tls_min_version]
    if settings.tls_cert_file:
        try:
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file or None, _no_password)
        except OSError as error:
            files = f"tls_cert_file {settings.tls_cert_file}, tls_key_file {settings.tls_key_file}"
            raise OSError(f"{files}: {_words(error)}") from error
    return context


def _no_password() -> str:
    """An encrypted key is an error; OpenSSL would ask for its password on the terminal and hold the loop."""
    raise OSError("the key is encrypted; give it without a password")


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not usable ({error.reason or error})"
    return error.strerror or str(error)

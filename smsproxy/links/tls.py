"""TLS towards an SMSC: the certificate is always checked; SMPP itself has no secrecy.

Called by the runner before every connect, so that renewed files are in force at the next one.
"""

from __future__ import annotations

import ssl

from smsproxy.aio.tls_files import load_chain, words
from smsproxy.settings import LinkSettings

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(settings: LinkSettings) -> ssl.SSLContext | None:
    """The context for one link, None without TLS. Reads files; raises OSError that names key and file."""
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
    except OSError as error:
        raise OSError(f"tls_ca_file {settings.tls_ca_file}: {words(error)}") from error
    context.minimum_version = _VERSIONS[settings.tls_min_version]
    if settings.tls_cert_file:
        try:
            load_chain(context, settings.tls_cert_file, settings.tls_key_file)
        except OSError as error:
            files = f"tls_cert_file {settings.tls_cert_file}, tls_key_file {settings.tls_key_file}"
            raise OSError(f"{files}: {words(error)}") from error
    return context

"""TLS towards an SMSC: the certificate is always checked; SMPP itself has no secrecy."""

from __future__ import annotations

import ssl

from smsproxy.settings import LinkSettings

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(settings: LinkSettings) -> ssl.SSLContext | None:
    """The context for one link, None without TLS. Raises OSError (ssl.SSLError included) for bad files."""
    if not settings.tls:
        return None
    context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
    context.minimum_version = _VERSIONS[settings.tls_min_version]
    if settings.tls_cert_file:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file or None)
    return context

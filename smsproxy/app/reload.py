"""What a new configuration asks for that a running daemon cannot do: it is logged and left alone. Pure."""

from __future__ import annotations

from smsproxy.settings import Settings
from smsproxy.settings.fields import Section

_FILES_READ_AGAIN = ("tls_key_file", "tls_client_ca_file")


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """The names of what a restart alone would change, in the order of the file."""
    found = [name for name in ("server", "http", "store") if _fixed(old, name) != _fixed(new, name)]
    if old.limits.redis != new.limits.redis:
        found.append("limits.redis_url")
    if old.policy.engine_keys != new.policy.engine_keys:
        found.append("policy.engine")
    return found


def _fixed(settings: Settings, name: str) -> Section:
    """What of a section only a restart changes: of TLS, whether there is any."""
    section: Section = getattr(settings, name)
    files = {key: "" for key in _FILES_READ_AGAIN if hasattr(section, key)}
    certificate = {"tls_cert_file": "given"} if getattr(section, "tls_cert_file", "") else {}
    return section.model_copy(update=files | certificate)

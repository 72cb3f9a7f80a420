"""What the configuration can say and this release cannot do: the one table of it.

Such keys are read and checked like the others and then refused, so that nothing pretends. Called by `loader`.
A feature that gets built loses its line here, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from smsproxy.settings.faults import KeyPath, Report
from smsproxy.settings.root import Settings


def _given(value: object) -> bool:
    return bool(value)


_SUFFIX = ": not available in this release"
_TLS = "TLS on the listener" + _SUFFIX

NOT_YET: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "server.trusted_proxies": (_given, "PROXY protocol" + _SUFFIX),
    "server.tls_cert_file": (_given, _TLS),
    "server.tls_key_file": (_given, _TLS),
    "server.tls_client_ca_file": (_given, "client certificates" + _SUFFIX),
    "http.tls_cert_file": (_given, _TLS),
    "http.tls_key_file": (_given, _TLS),
    "apps.*.client_cert_required": (_given, "client certificates" + _SUFFIX),
}
"""Key path (``*``: every id) -> (does the value ask for it, what to say)."""


def check_not_yet(settings: Settings, report: Report) -> None:
    for pattern, (asks_for_it, message) in NOT_YET.items():
        for path, value in _values(settings, tuple(pattern.split(".")), ()):
            if asks_for_it(value):
                report.fault(path, message)


def _values(owner: object, pattern: KeyPath, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    """Every value that a pattern names, with its key path."""
    if not pattern:
        yield path, owner
    elif pattern[0] != "*":
        yield from _values(getattr(owner, pattern[0]), pattern[1:], (*path, pattern[0]))
    elif isinstance(owner, Mapping):
        for key, value in owner.items():
            yield from _values(value, pattern[1:], (*path, str(key)))

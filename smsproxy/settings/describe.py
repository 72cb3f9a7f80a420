"""The configuration as it is in force, with secrets masked: what `check-config` shows.

Who calls: `check-config` (text and --json) and the start of the daemon at DEBUG.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel

from smsproxy.settings.faults import KeyPath, dotted
from smsproxy.settings.root import Settings
from smsproxy.settings.secrets import MASK, Secret
from smsproxy.settings.store import StoreUrl

_SECTIONS = ("server", "http", "apps", "text", "limits", "policy", "store", "links", "pools")
_URLS = frozenset({"redis_url", "url"})


def masked(settings: Settings) -> dict[str, object]:
    """All sections as plain values (ready for JSON); secrets, also those in URLs, are stars."""
    return {name: _plain(getattr(settings, name), name) for name in _SECTIONS}


def describe(settings: Settings) -> str:
    """One ``key.path = value`` a line."""
    return "\n".join(f"{dotted(path)} = {json.dumps(value)}" for path, value in _lines(masked(settings), ()))


def _plain(value: object, key: str) -> object:
    match value:
        case Secret():
            return MASK if value else ""
        case BaseModel():
            return {name: _plain(getattr(value, name), name) for name in type(value).model_fields}
        case Mapping():
            return {str(item): _plain(inner, key) for item, inner in value.items()}
        case tuple():
            return [_plain(inner, key) for inner in value]
        case bytes():
            return f"hex:{value.hex().upper()}"
        case float() if value.is_integer():
            return int(value)
        case str() if key in _URLS:
            return _masked_url(value)
        case StoreUrl() | Path():
            return str(value)
        case _:
            return value


def _masked_url(url: str) -> str:
    parts = urlsplit(url)
    user_info, at, host = parts.netloc.rpartition("@")
    if not at:
        return url
    user = user_info.partition(":")[0]
    shown = f"{user}:{MASK}" if ":" in user_info else MASK
    return urlunsplit(parts._replace(netloc=f"{shown}@{host}"))


def _lines(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _lines(inner, (*path, key))
    else:
        yield path, value

"""Lua scripts: files beside the package that uses them, known to the server by their hash.

A script runs alone, so all it reads and writes is one step. The server's cache of scripts is lost at a
restart, a failover or SCRIPT FLUSH: `Remote.run` then sends the text once more, and nobody notices.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script's name (for logs), text, and the hash that EVALSHA wants."""

    name: str
    text: str
    sha: str

    @classmethod
    def load(cls, package: str, path: str) -> Script:
        """Of package data, such as ("smsproxy.limits", "scripts/lease.lua"). Raises OSError."""
        text = files(package).joinpath(path).read_text(encoding="utf-8")
        return cls.of(path, text)

    @classmethod
    def of(cls, name: str, text: str) -> Script:
        # SHA-1 is what EVALSHA is defined by; nothing is secured with it.
        return cls(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

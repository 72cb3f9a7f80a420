"""What can be wrong with a configuration: faults (it does not load) and warnings (it loads, but look).

Every part of the loader writes into one Report, so that all faults are told at once, each with the file its
key came from (spec §3). Who reads them: `check-config`, the start of the daemon, and the SIGHUP reload.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KeyPath = tuple[str, ...]
"""A key as its parts: ("links", "100", "port")."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong, as one line: ``file: key.path: message``."""

    file: str
    key: str
    """Dotted key path, ``line N`` for a syntax error, empty when the file as a whole is meant."""
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.key, self.message) if part)


class ConfigError(Exception):
    """The operator's fault; nothing was changed. `faults` holds every one that was found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


def dotted(path: Sequence[str]) -> str:
    """``links.100.port``. Keys that TOML would quote are quoted, so a fault always stays on one line."""
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part) for part in path)


class Origins:
    """Which file each key came from. A key that is not set belongs to the file that has its table."""

    def __init__(self, main: Path, files: Mapping[KeyPath, Path] | None = None) -> None:
        self.main = main
        self._files = dict(files or {})

    def set(self, path: KeyPath, file: Path) -> None:
        self._files[path] = file

    def file(self, path: KeyPath) -> Path:
        for end in range(len(path), 0, -1):
            found = self._files.get(path[:end])
            if found is not None:
                return found
        return self.main


class Report:
    """Collects faults and warnings while a configuration is read."""

    def __init__(self, origins: Origins) -> None:
        self.origins = origins
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self._faulty: set[KeyPath] = set()

    def fault(self, path: KeyPath, message: str) -> None:
        """One fault per key: the first one says it, what follows from it would only be noise."""
        if path not in self._faulty:
            self._faulty.add(path)
            self.faults.append(self._made(path, message))

    def warn(self, path: KeyPath, message: str) -> None:
        self.warnings.append(self._made(path, message))

    def clean(self, path: KeyPath) -> bool:
        """True while neither the key nor anything below it is at fault."""
        return not any(faulty[: len(path)] == path for faulty in self._faulty)

    def _made(self, path: KeyPath, message: str) -> Fault:
        one_line = " ".join(message.splitlines())
        return Fault(str(self.origins.file(path)), dotted(path), one_line)

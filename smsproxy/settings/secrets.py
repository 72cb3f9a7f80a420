"""Secrets: a type that cannot be printed by accident, and the reading of secret files.

`Secret` shows stars, is never pickled, and compares in constant time. Files are named by a path or, under
systemd, by ``credential:NAME`` (spec §3). Who calls: `build`, while a configuration is read; nobody reads a
secret file later.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

MASK = "********"
MAX_SECRET_BYTES = (
    65_536  # a PEM key with its chain is under 10 KiB; a path to something endless must not hang us
)
_CREDENTIAL = "credential:"
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")


class Secret:
    """Octets that must not reach a log, a traceback, a pickle or a core of our own making (P10)."""

    __slots__ = ("_octets",)

    def __init__(self, value: str | bytes = b"") -> None:
        self._octets = value.encode() if isinstance(value, str) else bytes(value)

    def octets(self) -> bytes:
        """The secret itself. The only ways to it are this and `text`, so that a search finds every use."""
        return self._octets

    def text(self) -> str:
        """The secret as text. Raises UnicodeDecodeError when it is not UTF-8."""
        return self._octets.decode()

    def __bool__(self) -> bool:
        return bool(self._octets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        return hash(self._octets)

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, _spec: str) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled and not copied")


def resolve(reference: str, directory: Path, environ: Mapping[str, str]) -> Path:
    """The file a `*_file` key names: relative to `directory`, or one of systemd's credentials.

    Raises ValueError with the operator's sentence.
    """
    if "\0" in reference:
        raise ValueError("a path has no NUL in it")
    if not reference.startswith(_CREDENTIAL):
        return Path(os.path.abspath(directory / reference))
    name = reference.removeprefix(_CREDENTIAL)
    if not _CREDENTIAL_NAME.fullmatch(name) or name in (".", ".."):
        raise ValueError("a credential is named by letters, digits, '.', '-' and '_'")
    where = environ.get("CREDENTIALS_DIRECTORY")
    if not where:
        raise ValueError(
            f"credential:{name} needs systemd's LoadCredential={name}: $CREDENTIALS_DIRECTORY is not set"
        )
    return Path(where) / name


def read_secret(path: Path) -> tuple[Secret, bool]:
    """A secret from its file, without the one newline that editors put at the end (spec §2.6).

    Also whether every user of the host can read the file. Raises ValueError with the operator's sentence.
    """
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_SECRET_BYTES + 1)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if len(octets) > MAX_SECRET_BYTES:
        raise ValueError(f"{path} has more than {MAX_SECRET_BYTES} octets")
    if octets.endswith(b"\n"):
        octets = octets[:-1].removesuffix(b"\r")
    if not octets:
        raise ValueError(f"{path} is empty")
    return Secret(octets), bool(mode & 0o004)

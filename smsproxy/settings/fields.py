"""What the section models share: the strict base model and the kinds of text fields.

Fields are strict (no "5" for 5, no true for 1) and unknown keys are refused. Paths are made absolute here,
relative to the file the key is in. Who uses it: every section module; who gives the context: `build`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, Strict, ValidationInfo

from smsproxy.domain.endpoint import is_host
from smsproxy.settings.secrets import Secret, resolve


class Section(BaseModel):
    """A table of the configuration. Frozen: a reload makes new ones and compares with ==."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    LOADED_FROM: ClassVar[Mapping[str, str]] = {}
    """Fields that `build` fills from a file: field -> the key that names the file."""
    FILE_ONLY: ClassVar[frozenset[str]] = frozenset()
    """Those of them that are not keys of the file format."""


@dataclass(frozen=True, slots=True)
class FieldContext:
    """Where a table came from, for fields that name files."""

    directory: Path
    environ: Mapping[str, str]


def _absolute(reference: str, info: ValidationInfo) -> str:
    context: object = info.context
    if not reference or not isinstance(context, FieldContext):
        return reference
    return str(resolve(reference, context.directory, context.environ))


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable, without control characters")
    return text


def _octet_string(text: str) -> str:
    """SMPP strings end at NUL and have one octet a character (SMPP v3.4 §3.1)."""
    if any(ord(char) > 0xFF for char in text):
        raise ValueError("must be Latin-1: one octet a character on the wire")
    return _printable(text)


def _host(text: str) -> str:
    if not is_host(text):
        raise ValueError("must be a host name or an IP address")
    return text


def to_secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str):
        return Secret(value)
    raise ValueError("must be text")


def check_url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """A URL of one of `schemes` with a host and a sane port. Raises ValueError, with what is wrong."""
    shown = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if url.scheme not in schemes:
        raise ValueError(f"must begin with {shown}")
    if not url.hostname or not is_host(url.hostname) or port == 0:
        raise ValueError("names no host, or a wrong port")
    return url


SecretField = Annotated[Secret, PlainValidator(to_secret)]
FileRef = Annotated[str, AfterValidator(_absolute)]
"""A path, absolute once loaded; ``credential:NAME`` is one of systemd's credentials."""
Printable = Annotated[str, AfterValidator(_printable)]
OctetString = Annotated[str, AfterValidator(_octet_string)]
Host = Annotated[str, AfterValidator(_host)]
AsTuple = Strict(False)
"""TOML has arrays, frozen models have tuples; the items stay strict."""

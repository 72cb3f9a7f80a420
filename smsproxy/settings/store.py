"""[store]: where records live and for how long (spec §3, §6).

Who reads it: app.py (which store to build), stores (retention), pipeline (repeat window).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PlainValidator, ValidationInfo

from smsproxy.domain.endpoint import is_host
from smsproxy.settings.faults import KeyPath, Report
from smsproxy.settings.fields import FieldContext, FileRef, Printable, SecretField, Section
from smsproxy.settings.secrets import Secret

_FORMS = "must be sqlite:///path, sqlite:./path, aerospike://host:3000/namespace or memory:"
_AEROSPIKE_PORT = 3000
_NAMESPACE_MAX = 31  # Aerospike's own bound


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A parsed store.url. `path` is set for sqlite; `hosts` and `namespace` for aerospike."""

    kind: Literal["sqlite", "memory", "aerospike"]
    path: Path | None = None
    hosts: tuple[tuple[str, int], ...] = ()
    namespace: str = ""

    @property
    def shared(self) -> bool:
        """Whether several instances can use the store together."""
        return self.kind == "aerospike"

    def __str__(self) -> str:
        if self.kind == "memory":
            return "memory:"
        if self.kind == "sqlite":
            return f"sqlite://{self.path}"
        hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"aerospike://{','.join(hosts)}/{self.namespace}"


def parse_store_url(text: str, directory: Path) -> StoreUrl:
    """The store a URL names; `directory` is what sqlite:./x.db is relative to. Raises ValueError."""
    if text == "memory:":
        return StoreUrl("memory")
    if text.startswith("aerospike://"):
        return _parse_aerospike(text.removeprefix("aerospike://"))
    if text.startswith("sqlite:"):
        return StoreUrl("sqlite", path=_sqlite_path(text.removeprefix("sqlite:"), directory))
    raise ValueError(_FORMS)


def _sqlite_path(rest: str, directory: Path) -> Path:
    if rest.startswith("//"):
        rest = rest[2:]
        if rest and not rest.startswith("/"):
            raise ValueError(
                f"an absolute path has three slashes, sqlite:///{rest}; a relative one is sqlite:./{rest}"
            )
    if not rest or rest.endswith("/") or "\0" in rest:
        raise ValueError("names no database file")
    if ":memory:" in rest:
        raise ValueError("the store in memory is memory:")
    if "?" in rest or "#" in rest:
        raise ValueError("takes no options: what follows sqlite:// is the path")
    # abspath keeps a leading double slash, which POSIX allows to mean something else: fold it.
    folded = "/" + rest.lstrip("/") if rest.startswith("/") else rest
    return Path(os.path.abspath(directory / folded))


def _parse_aerospike(rest: str) -> StoreUrl:
    hosts_text, slash, namespace = rest.partition("/")
    if not slash or not namespace or "/" in namespace or len(namespace) > _NAMESPACE_MAX:
        raise ValueError("must end with /namespace, of at most 31 characters")
    return StoreUrl("aerospike", hosts=tuple(map(_host_port, hosts_text.split(","))), namespace=namespace)


def _host_port(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, _, tail = text[1:].partition("]")
        port = tail.removeprefix(":") if tail else ""
    else:
        host, _, port = text.partition(":")
    if not is_host(host):
        raise ValueError(f"{text!r} is not host:port")
    if not port:
        return host, _AEROSPIKE_PORT
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535):
        raise ValueError(f"{text!r} has a port outside 1 to 65535")
    return host, int(port)


def _store_url(value: object, info: ValidationInfo) -> StoreUrl:
    if isinstance(value, StoreUrl):
        return value
    if not isinstance(value, str):
        raise ValueError("must be text")
    context: object = info.context
    directory = context.directory if isinstance(context, FieldContext) else Path()
    return parse_store_url(value, directory)


class StoreSettings(Section):
    """[store]"""

    LOADED_FROM: ClassVar[Mapping[str, str]] = {"password": "password_file"}

    url: Annotated[StoreUrl, PlainValidator(_store_url)] = Field(
        StoreUrl("sqlite", path=Path("/var/lib/smsproxy/smsproxy.db")),
        description="sqlite:///path, sqlite:./path (of the file), aerospike://host:port/namespace, memory:.",
    )
    user: Printable = Field("", max_length=63, description="Aerospike user; empty is none.")
    password_file: FileRef = Field("", description="File with the Aerospike user's password.")
    password: SecretField = Field(
        Secret(), description="The password itself, for development; `load` fills it from password_file."
    )
    tls_name: Printable = Field(
        "", max_length=253, description="TLS name of the Aerospike cluster; empty is plain."
    )
    retention_s: float = Field(
        259_200,
        ge=1,
        le=31_622_400,
        description="Seconds a record and its repeat protection live; a year at most.",
    )
    receipt_timeout_s: float = Field(
        172_800,
        ge=1,
        le=31_622_400,
        description="Seconds without a receipt until EXPIRED is read; a year at most.",
    )


def check_store(store: StoreSettings, at: KeyPath, report: Report) -> None:
    if store.receipt_timeout_s > store.retention_s:
        report.warn(
            (*at, "receipt_timeout_s"), "is longer than retention_s: records are gone before they can expire"
        )
    if store.url.kind == "memory":
        report.warn((*at, "url"), "memory: forgets every record at the end of the process; for tests only")

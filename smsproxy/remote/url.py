"""Where a Redis is: the URL forms, read once and checked whole.

    redis://[user:password@]host[:6379][/db]              one server
    rediss://...                                           the same over TLS
    unix://[user:password@]/path/to/socket[?db=0]          one server on this host
    redis+sentinel://[user:password@]host[:26379],host2/service[/db]
    redis+cluster://[user:password@]host[:6379],host2

`rediss+sentinel://` and `rediss+cluster://` are the TLS forms; `?ca_file=/path` names the authority where it
is not one of the system's. Pure. Called by settings (to refuse a bad URL at load) and by `client`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from smsproxy.domain.endpoint import is_host

Kind = Literal["server", "unix", "sentinel", "cluster"]

_FORMS: dict[str, tuple[Kind, bool]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("unix", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_OPTIONS: dict[Kind, frozenset[str]] = {
    "server": frozenset({"ca_file"}),
    "unix": frozenset({"db"}),
    "sentinel": frozenset({"ca_file"}),
    "cluster": frozenset({"ca_file"}),
}
_PORT = 6379
_SENTINEL_PORT = 26379
_MAX_DB = 1_000_000


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """A URL, taken apart. Its text and repr carry no password."""

    kind: Kind
    tls: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    """Sentinel: the name of the watched service."""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""

    def __str__(self) -> str:
        """For logs: where, never with which credentials."""
        if self.kind == "unix":
            return f"unix://{self.path}"
        scheme = ("rediss" if self.tls else "redis") + ("" if self.kind == "server" else f"+{self.kind}")
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{scheme}://{hosts}" + (f"/{self.service}" if self.service else "")


def parse_url(text: str) -> RemoteUrl:
    """Raises ValueError with the operator's sentence; it never repeats the URL, which may hold a password."""
    try:
        url = urlsplit(text)
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in _FORMS:
        raise ValueError(
            "must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        )
    kind, tls = _FORMS[url.scheme]
    options = _options(url, kind)
    user_info, _, hosts_text = url.netloc.rpartition("@")
    username, _, password = user_info.partition(":")
    username, password = unquote(username), unquote(password)
    if options.get("ca_file") and not tls:
        raise ValueError("has a ca_file, but only the rediss forms use TLS")
    if kind == "unix":
        return RemoteUrl(
            kind,
            path=_socket(url, hosts_text),
            db=_db(options.get("db", "")),
            username=username,
            password=password,
        )
    hosts = _hosts(hosts_text, _SENTINEL_PORT if kind == "sentinel" else _PORT)
    if kind == "server" and len(hosts) > 1:
        raise ValueError("names several hosts: use redis+sentinel:// or redis+cluster://")
    service, db = _path(kind, url.path)
    return RemoteUrl(
        kind,
        tls,
        hosts,
        service=service,
        db=db,
        username=username,
        password=password,
        ca_file=options.get("ca_file", ""),
    )


def _options(url: SplitResult, kind: Kind) -> dict[str, str]:
    if url.fragment:
        raise ValueError("has a '#': write it %23 in a password")
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    for name in options:
        if name not in _OPTIONS[kind]:
            raise ValueError(f"has an unknown option {name[:32]!r}")
    return options


def _socket(url: SplitResult, host: str) -> str:
    path = unquote(url.path)
    if host or len(path) < 2:
        raise ValueError("names no socket: write unix:///path/to/socket")
    return path


def _hosts(text: str, default_port: int) -> tuple[tuple[str, int], ...]:
    return tuple(_host(part, default_port) for part in text.split(","))


def _host(text: str, default_port: int) -> tuple[str, int]:
    """host, host:port, [v6] or [v6]:port."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest.startswith(":") or not rest else "?"
    else:
        host, colon, port = text.partition(":")
        port = port if colon else ""
    if not is_host(host):
        raise ValueError("names no host, or a wrong one")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        raise ValueError("has a wrong port")
    return host, int(port) if port else default_port


def _path(kind: Kind, path: str) -> tuple[str, int]:
    """(service, db) of what follows the hosts."""
    parts = [unquote(part) for part in path.strip("/").split("/")] if path.strip("/") else []
    if kind == "sentinel":
        if not parts or len(parts) > 2:
            raise ValueError("names no service: write redis+sentinel://host,host2/service")
        return parts[0], _db(parts[1] if len(parts) == 2 else "")
    if kind == "cluster":
        if parts:
            raise ValueError("has a path, but a cluster has one database only")
        return "", 0
    if len(parts) > 1:
        raise ValueError("has more behind the host than a database number")
    return "", _db(parts[0] if parts else "")


def _db(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 7 or int(text) > _MAX_DB:
        raise ValueError("has a database that is not a number")
    return int(text)

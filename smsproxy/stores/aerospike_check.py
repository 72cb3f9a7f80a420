"""The start-up check of an Aerospike namespace: one clear line for each thing that can be wrong.

Connects, writes a record with a time to live, and makes the three secondary indexes (they survive restarts
and serve all instances). Blocking; `AerospikeStore.open` runs it in a thread.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aerospike
from aerospike import predicates
from aerospike.exception import AerospikeError, IndexFoundError, IndexNotFound

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores.aerospike_cluster import Client
from smsproxy.stores.aerospike_errors import in_words
from smsproxy.stores.aerospike_records import KEYS, MESSAGES

CONNECT_MS = 3000
PROBE_S = 10
INDEXES = ((MESSAGES, "open"), (MESSAGES, "expires"), (KEYS, "parked"))
"""What is looked for other than by its key: open intents, messages past their time, receipts that wait."""

Connect = Callable[[dict[str, Any]], Client]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the records live, and who asks for them."""

    hosts: tuple[tuple[str, int], ...]
    namespace: str
    user: str = ""
    password: str = field(default="", repr=False)
    tls_name: str = ""
    sets: str = "sms_"
    """What the names of the two sets begin with."""

    def __str__(self) -> str:
        return ",".join(f"{host}:{port}" for host, port in self.hosts)


def connected(place: Place, connect: Connect) -> Client:
    """A client of the cluster. Raises StoreUnavailableError."""
    try:
        return connect(client_config(place))
    except AerospikeError as error:
        raise _trouble(f"{place}: {in_words(error.code)}") from error


def client_config(place: Place) -> dict[str, Any]:
    """What aerospike.client takes. Rack-aware reads and the like are left to the client's own settings."""
    hosts = [(host, port, place.tls_name) if place.tls_name else (host, port) for host, port in place.hosts]
    config: dict[str, Any] = {"hosts": hosts, "connect_timeout": CONNECT_MS}
    if place.user:
        config |= {"user": place.user, "password": place.password}
    if place.tls_name:
        roots = ssl.get_default_verify_paths()
        config["tls"] = {"enable": True}
        if roots.cafile or roots.capath:
            config["tls"] |= {"cafile": roots.cafile} if roots.cafile else {"capath": roots.capath}
    return config


def check_namespace(client: Client, place: Place) -> None:
    """Raises StoreUnavailableError where the namespace cannot keep records as the store needs it to."""
    namespace = place.namespace
    key = (namespace, place.sets + KEYS, "probe of the time to live")
    try:
        client.put(key, {"probe": 1}, policy={"ttl": PROBE_S})
    except AerospikeError as error:
        raise _trouble(f"{place}: {_of_namespace(error.code, namespace)}") from error
    for set_name, bin_name in INDEXES:
        _make_index(client, place, set_name, bin_name)


def _of_namespace(code: int | None, namespace: str) -> str:
    if code == 20:
        return f"there is no namespace {namespace}"
    if code == 22:
        return f"namespace {namespace} refuses records with a time to live: set its nsup-period (code 22)"
    return f"namespace {namespace}: {in_words(code)}"


def _make_index(client: Client, place: Place, set_name: str, bin_name: str) -> None:
    set_name = place.sets + set_name
    name = f"{set_name}_{bin_name}"
    try:
        if not _is_indexed(client, place.namespace, set_name, bin_name):
            client.index_single_value_create(
                place.namespace, set_name, bin_name, aerospike.INDEX_NUMERIC, name
            )
    except IndexFoundError:
        return  # another instance was first
    except AerospikeError as error:
        what = f"index {name} of namespace {place.namespace}"
        raise _trouble(f"{place}: {what}: {in_words(error.code)}") from error


def _is_indexed(client: Client, namespace: str, set_name: str, bin_name: str) -> bool:
    """Asked by a query: making an index that is there takes the client a second."""
    query = client.query(namespace, set_name)
    query.where(predicates.between(bin_name, 0, 0))
    try:
        query.results()
    except IndexNotFound:
        return False
    return True


def _trouble(text: str) -> StoreUnavailableError:
    return StoreUnavailableError(f"aerospike {text}")

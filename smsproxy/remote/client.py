"""The one place that knows the redis package: from a URL to a client, and which exceptions it may throw.

Everything is set for a caller that would rather hear "no" than wait: no retries of the library's own (the
breaker and the caller's fallback are better at it), a bounded pool, RESP 2 (one round trip less to connect).
"""

from __future__ import annotations

from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from smsproxy.remote.url import RemoteUrl

__all__ = ["Client", "NoScriptError", "close", "make_client", "open_connections"]

Client = Redis | RedisCluster

CONNECT_S = 1.0
"""For one connect: a probe's patience, not a caller's."""
_SENTINEL_S = 0.4
"""For a Sentinel's answer: a probe gets past one or two that are deaf."""


class _PackedInC:
    """For a connection of the library, which packs every argument in Python: a batch has hundreds of keys."""

    def pack_command(self, *args: str | bytes | int) -> list[bytes]:
        name, *more = args
        words = name.split() if isinstance(name, str) else [name]  # "CONFIG GET" are two words to a server
        return [hiredis.pack_command((*words, *more))]


def make_client(url: RemoteUrl, max_connections: int) -> Client:
    """Connects nothing yet."""
    no_retry = Retry(NoBackoff(), 0)
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": CONNECT_S,
        # None: with a time-out of its own the library sends through asyncio.wait_for, which loses a
        # cancellation on Python 3.11 when the send is done; callers bound the whole call anyway.
        "socket_timeout": None,
        "username": url.username or None,
        "password": url.password or None,
        "retry": no_retry,
        "max_connections": max_connections,
    }
    if url.tls:
        options |= {"ssl": True, "ssl_ca_certs": url.ca_file or None}
    if url.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in url.hosts]
        return RedisCluster(startup_nodes=nodes, **options)
    options["db"] = url.db
    if url.kind == "sentinel":
        asking = {
            "protocol": 2,
            "socket_timeout": _SENTINEL_S,
            "socket_connect_timeout": _SENTINEL_S,
            "retry": no_retry,
        }
        sentinels = Sentinel(url.hosts, sentinel_kwargs=asking, **options)
        client: Redis = sentinels.master_for(url.service)
    elif url.kind == "unix":
        client = Redis(unix_socket_path=url.path, **options)
    else:
        ((host, port),) = url.hosts
        client = Redis(host=host, port=port, **options)
    pool = client.connection_pool
    pool.connection_class = type("Connection", (_PackedInC, pool.connection_class), {})
    return client


def open_connections(client: Client) -> int:
    """Connections of a client, idle and in use: for metrics and tests."""
    if isinstance(client, RedisCluster):
        return sum(len(node._connections) for node in client.get_nodes())
    pool: ConnectionPool = client.connection_pool
    return sum(count for count, _ in pool.get_connection_count())


async def close(client: Client) -> None:
    """Close every connection, those to sentinels too."""
    await client.aclose()
    if isinstance(client, Redis) and isinstance(client.connection_pool, SentinelConnectionPool):
        await client.connection_pool.disconnect()
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            await sentinel.aclose()

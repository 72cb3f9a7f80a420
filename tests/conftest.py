"""Shared by every test: hypothesis without deadlines (two busy cores), the same examples every time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from redis_kit import RedisServer, redis_server

settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One real server for the whole run. Tests take `redis`, which is empty."""
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    """A real, empty server."""
    shared_redis.fresh()
    return shared_redis

"""A daemon on a free port for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fake_daemon import FakeDaemon


@pytest.fixture
async def daemon() -> AsyncIterator[FakeDaemon]:
    fake = FakeDaemon()
    await fake.start()
    yield fake
    await fake.aclose()

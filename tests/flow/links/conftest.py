"""The scripted SMSC, listening."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from raw_smsc import RawSmsc


@pytest_asyncio.fixture
async def smsc() -> AsyncIterator[RawSmsc]:
    async with RawSmsc() as smsc:
        yield smsc

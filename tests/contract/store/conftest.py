"""The store of a contract test, one for each name in `store_kit.STORES`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from contract.store.store_kit import STORES, cluster_hosts

from smsproxy.stores.base import Store


@pytest.fixture(autouse=True)
def _a_cluster_is_named(request: pytest.FixtureRequest) -> None:
    """Tests on a real cluster are skipped where there is none, before anything of them has begun."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and "aerospike" in callspec.params.values() and not cluster_hosts():
        pytest.skip("AEROSPIKE_HOSTS=host:3000 names no Aerospike cluster to test against")


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(STORES[request.param](tmp_path))

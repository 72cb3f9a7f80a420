"""Every end of spec §2.1 and a campaign on a stream, met by grpcio, grpcio's asyncio side and grpclib."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from python_clients import Aio, Grpclib, PythonClient, Sync

from tests.flow.ends import (
    ENDS,
    End,
    campaign,
    ends_but,
    every_end,
    judge_campaign,
    judge_stream,
    judge_unary,
    token_ends_inside,
)
from tests.flow.kit import Daemon

GRPCLIB_ENDS = ends_but("unknown compression")  # grpclib compresses nothing
MEETINGS = [
    pytest.param(client, end, id=f"{client.__name__}-{end.name}")
    for client, ends in ((Sync, ENDS), (Aio, ENDS), (Grpclib, GRPCLIB_ENDS))
    for end in ends
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with every_end(tmp_path_factory.mktemp("clients")) as daemon:
        yield daemon


@pytest.mark.parametrize(("kind", "end"), MEETINGS)
async def test_a_client_meets_every_end_alone_and_on_a_stream(
    daemon: Daemon, kind: type[PythonClient], end: End
) -> None:
    async with kind(daemon.target) as client:
        alone, on_stream = await asyncio.gather(client.unary(end), client.stream(end))
    judge_unary(end, alone)
    judge_stream(end, on_stream)


@pytest.mark.long
@pytest.mark.parametrize("kind", [Sync, Aio, Grpclib])
async def test_a_client_whose_token_ends_inside_a_stream_is_told_in_band(
    daemon: Daemon, kind: type[PythonClient]
) -> None:
    end = token_ends_inside()
    async with kind(daemon.target) as client:
        alone, on_stream = await asyncio.gather(client.unary(end), client.stream(end))
    judge_unary(end, alone)
    judge_stream(end, on_stream)
    assert on_stream.answers[0][0] == "submitted"


@pytest.mark.long
@pytest.mark.parametrize("kind", [Sync, Aio, Grpclib])
async def test_a_client_streams_ten_thousand_messages_and_is_answered_in_order(
    daemon: Daemon, kind: type[PythonClient]
) -> None:
    async with kind(daemon.target) as client:
        judge_campaign(await client.campaign(ENDS[0], campaign()))


async def test_a_client_that_gives_window_back_answer_by_answer_floods_nobody(daemon: Daemon) -> None:
    """grpcio's asyncio side: dozens of WINDOW_UPDATEs for a DATA frame with dozens of answers."""
    async with Aio(daemon.target) as client:
        judge_campaign(await client.campaign(ENDS[0], campaign(2500)), 2500)

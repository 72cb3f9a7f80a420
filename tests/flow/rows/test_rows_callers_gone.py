"""Row 15 of the reliability matrix: a fifth of the callers leave at a random moment, by reset or by TCP.

The daemon runs in this process, so that its tasks can be counted.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from callers import LINKS, Messages, Streams, UnaryCallers, ask_until_each_has_an_end, four_links
from rows_kit import SOAK

from smsproxy.aio.wait import settled
from smsproxy.app import App
from smsproxy.settings import load
from tests.flow.kit import Smsc, running
from tests.flow.ledger import DriverLog, check_ledger, read_store
from tests.flow.tcp_proxy import TcpProxy

ROUNDS = 30 if SOAK else 3
CALLERS = 20
CALLS = 400
STREAMED = 400
RATE_PER_S = 200
LEAVE_SHARE = 0.2
BACK_S = 5.0
HL = {"answer_delay_s": 0.02, "answer_jitter_s": 0.01, "receipt_delay_s": 0.1, "receipt_jitter_s": 0.4}


@pytest.mark.long
async def test_row_15_callers_that_leave_cost_nothing_and_what_they_sent_is_recorded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = DriverLog()
    with running(Smsc(tmp_path / "smsc", HL)) as smsc:
        config = four_links(tmp_path, smsc)
        app = App(load(config))
        await app.start()
        links = app.links.directory.links.values()
        assert await settled(lambda: sum(link.bound for link in links) == LINKS, timeout_s=10)
        before = len(asyncio.all_tasks())
        cuts = await asyncio.to_thread(callers_that_leave, app.rpc.port, Messages(log))
        assert await settled(lambda: len(asyncio.all_tasks()) <= before, timeout_s=BACK_S)
        assert await settled(lambda: app.pipeline.idle, timeout_s=BACK_S)
        assert [link.in_flight for link in links] == [0] * LINKS
        assert app.rpc.counters.connections == 0
        left = set(log.without_end())
        await asyncio.to_thread(ask_until_each_has_an_end, f"127.0.0.1:{app.rpc.port}", Messages(log))
        assert await app.stop(drain_s=10)
        entries = smsc.entries()
    counts = check_ledger(log, entries, read_store(config))
    assert "Traceback" not in "".join(capfd.readouterr())
    print(f"\n{cuts} connections cut\n{counts}")
    assert cuts >= ROUNDS
    assert counts.broken > 0.5 * LEAVE_SHARE * ROUNDS * CALLS
    assert left, "some of those who left never heard of their message"
    assert counts.repeated, "and some of these had been sent"
    assert counts.ends["submitted"] == counts.messages


def callers_that_leave(port: int, messages: Messages) -> int:
    """Twenty unary callers and four streams a round; how many connections were cut."""
    chance = random.Random(15)
    cuts = 0
    for _ in range(ROUNDS):
        with (
            TcpProxy(port) as proxy,
            UnaryCallers(
                proxy.target, messages, messages.new(CALLS), count=CALLERS, leave_share=LEAVE_SHARE
            ) as callers,
            Streams(proxy.target, messages, messages.new(STREAMED), rate_per_s=RATE_PER_S),
        ):
            while callers.busy:
                callers.wait(chance.uniform(0.05, 0.3))
                proxy.cut(LEAVE_SHARE, chance)
        cuts += proxy.cuts
    return cuts

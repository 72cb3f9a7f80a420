"""Messages from handsets: from the simulator over real sockets, through link and inbox, into a sink."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from links_flow_kit import LiveLink, until
from raw_smsc import RawSmsc

from smsproxy.app import App
from smsproxy.domain.inbound import InboundMessage
from smsproxy.pipeline.inbound import Inbox
from smsproxy.settings import load
from smsproxy.simulator.script import Script
from smsproxy.simulator.smsc import Smsc
from tests.flow.kit import Config

PHONE, SHORT_CODE = "998901234567", "7777"


class Sink:
    """Takes messages once the test lets it."""

    def __init__(self) -> None:
        self.taken: list[InboundMessage] = []
        self.open = asyncio.Event()

    async def take(self, messages: list[InboundMessage]) -> None:
        await self.open.wait()
        self.taken += messages


def attach(live: LiveLink) -> Sink:
    sink, log = Sink(), live.log
    any_log: Any = log
    inbox = Inbox(sink, any_log)
    live.desk.inbound = inbox.received  # in the place of the one that only remembers
    return sink


async def test_messages_from_handsets_come_to_the_sink_and_are_told_ok_then() -> None:
    smsc = Smsc(Script())
    port = await smsc.start()
    async with LiveLink(port) as live:
        sink = attach(live)
        await live.bound()
        texts = ["STOP", "Ўзбекча матн 🙂", "x" * 400]
        for text in texts:
            smsc.send_mo(PHONE, SHORT_CODE, text)
        await until(lambda: live.link.counters.inbound == 3)
        assert smsc.counters.delivers_ok == 0
        sink.open.set()
        await smsc.wait_for(lambda seen: seen.delivers_ok == 3, timeout_s=5)
        assert [one.text for one in sink.taken] == texts
        assert {(one.source.digits, one.destination.digits) for one in sink.taken} == {(PHONE, SHORT_CODE)}
    await smsc.aclose()


async def test_a_long_message_whose_segments_wait_for_one_another_arrives_whole(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        sink = attach(live)
        sink.open.set()
        session = await smsc.next_bound()
        await live.bound()
        for number, text in ((2, b"world"), (1, b"hello ")):
            message = bytes((5, 0, 3, 42, 2, number)) + text
            addresses = b"\x01\x01998901234567\0" + b"\x00\x017777\0"
            body = b"\0" + addresses + bytes((0x40, 0, 0)) + b"\0\0" + bytes((0, 0, 0, 0, len(message)))
            session.send("deliver_sm", number, body + message)
            answer = await session.next("deliver_sm_resp")
            assert (answer.number, answer.status) == (number, 0)
        assert [one.text for one in sink.taken] == ["hello world"]


async def test_a_text_is_read_in_the_alphabet_that_the_smsc_means_by_its_number(smsc: RawSmsc) -> None:
    """0 is Latin-1 there: "@" is the octet 0x40, which GSM7 reads as an inverted exclamation mark."""
    async with LiveLink(smsc.port, gsm7=False, latin1=True, latin1_data_coding=0) as live:
        sink = attach(live)
        sink.open.set()
        session = await smsc.next_bound()
        await live.bound()
        text = b"me@home"
        body = b"\0" + b"\x01\x01998901234567\0" + b"\x00\x017777\0" + bytes((0, 0, 0)) + b"\0\0"
        session.send("deliver_sm", 1, body + bytes((0, 0, 0, 0, len(text))) + text)
        assert (await session.next("deliver_sm_resp")).status == 0
        assert [one.text for one in sink.taken] == ["me@home"]


async def test_the_daemon_takes_messages_from_handsets_and_gives_out_at_its_stop_what_is_not_whole(
    tmp_path: Path, smsc: RawSmsc
) -> None:
    app = App(load(Config(tmp_path, smsc.port, {"store": {"url": "memory:"}}).write()))
    await app.start()
    try:
        session = await smsc.next_bound()
        for number, message in ((1, b"whole"), (2, bytes((5, 0, 3, 42, 2, 1)) + b"half")):
            esm_class = 0x40 if number == 2 else 0
            addresses = b"\x01\x01998901234567\0" + b"\x00\x017777\0"
            body = b"\0" + addresses + bytes((esm_class, 0, 0)) + b"\0\0" + bytes((0, 0, 0, 0, len(message)))
            session.send("deliver_sm", number, body + message)
            assert (await session.next("deliver_sm_resp")).status == 0
        assert app.pipeline.counters["inbound_taken"] == 1
    finally:
        assert await app.stop(drain_s=5)
    counters = app.pipeline.counters
    assert (counters["inbound_taken"], counters["inbound_incomplete"]) == (2, 1)

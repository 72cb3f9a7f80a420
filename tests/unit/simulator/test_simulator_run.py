"""The simulator as a command: lines for people, a truth file, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from simulator_kit import WAIT_S, ForeignEsme

from smsproxy.simulator.run import Lines, run_simulator
from smsproxy.simulator.script import Rule, Script
from smsproxy.simulator.truth import read_entries


class Running:
    """A running command and what it said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stop = asyncio.Event()
        self._said = asyncio.Event()

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._said.set()

    async def line(self, text: str) -> str:
        async with asyncio.timeout(WAIT_S):
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                self._said.clear()
                await self._said.wait()

    async def port(self) -> int:
        return int((await self.line("listening on 127.0.0.1:")).rpartition(":")[2])


@contextlib.asynccontextmanager
async def running(script: Script, truth_path: Path | None = None) -> AsyncIterator[Running]:
    command = Running()
    task = asyncio.create_task(run_simulator("127.0.0.1", 0, script, truth_path, command.stop, command.say))
    try:
        yield command
    finally:
        command.stop.set()
        await asyncio.wait_for(task, WAIT_S)
        while ForeignEsme.all:
            await ForeignEsme.all.pop().close()


async def test_it_says_a_line_for_each_bind_message_receipt_and_end(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    async with running(Script(first_id=7, hints=True), path) as command:
        esme = await ForeignEsme.bound(await command.port())
        esme.submit(b"Hello")
        await esme.expect_all("submit_sm_resp", "deliver_sm")
        esme.submit(to="9980002")
        esme.submit(to="9980009")
        esme.submit(b"\x05\x00\x03\x01\x02\x01part", esm_class=0x40, receipt=0)
        esme.submit(b"\x80", data_coding=4, receipt=0)
        await esme.expect_all(*["submit_sm_resp"] * 3)
        command.stop.set()
        request = await esme.expect("unbind")
        esme.send("unbind_resp", sequence=request.sequence)
        assert await esme.end() == "closed"
    said = [line.removeprefix("session 1: ") for line in command.lines]
    assert said[1].startswith("connected from 127.0.0.1:")
    assert said[2:9] == [
        "bind esme transceiver -> ok",
        "998901234567 'Hello' -> id 7",
        "receipt 7 DELIVRD ->",
        "9980002 'hello' -> ESME_RINVDSTADR 0x0000000B",
        "9980009 'hello' -> no answer",
        "998901234567 1/2 'part' -> id 8",
        "998901234567 1 octets -> id 9",
    ]
    assert said[-2] == "closed"
    assert said[-1].startswith("counted: connections=1 binds=1 submits=5 taken=3 refused=1 silent=1")
    assert len(read_entries(path)) > 10


async def test_it_tells_of_refusals_and_faults() -> None:
    rules = (Rule(do="repeat", text_contains="twice"), Rule(do="cut", text_contains="cut"))
    async with running(Script(rules=rules)) as command:
        port = await command.port()
        broken = await ForeignEsme.connect(port)
        broken.write(b"GET / HTTP/1.1\r\n\r\n")
        await broken.end()
        esme = await ForeignEsme.bound(port)
        esme.auto = 0x64
        esme.submit(b"twice")
        await esme.expect_all("submit_sm_resp", "submit_sm_resp", "deliver_sm")
        await command.line("refused: ESME_RX_T_APPN 0x00000064")
        esme.submit(b"cut")
        assert await esme.end() == "reset"
        await command.line("-> cut")
        await command.line("session 1: no SMPP: command_length 1195725856 looks like HTTP")
        await command.line(", repeat")


async def test_what_an_esme_sends_cannot_play_tricks_on_the_terminal() -> None:
    async with running(Script(bind_silent=True)) as command:
        esme = await ForeignEsme.connect(await command.port())
        esme.send("bind_receiver", system_id="\x1b[2Jboo", password="x")
        assert "bind \\x1b[2Jboo receiver -> no answer" in await command.line("bind ")
    async with running(Script()) as command:
        esme = await ForeignEsme.bound(await command.port())
        esme.submit("\x1b[2J\u202e".encode("utf-16-be"), to="\x1b[2J", data_coding=8, receipt=0)
        line = await command.line("-> id")
        assert line.isprintable()
        await esme.close()


async def test_an_esme_that_ignores_the_unbind_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("smsproxy.simulator.run._UNBIND_S", 0.01)
    async with running(Script()) as command:
        await ForeignEsme.bound(await command.port())
        command.stop.set()
        await command.line("not every ESME answered the unbind")


async def test_a_taken_port_is_the_callers_to_tell() -> None:
    async with running(Script()) as command:
        port = await command.port()
        with pytest.raises(OSError, match="in use"):
            await run_simulator("127.0.0.1", port, Script(), None, asyncio.Event(), print)


async def test_a_truth_file_that_fails_is_told_at_the_end() -> None:
    async with running(Script(), Path("/dev/full")) as command:
        await (await ForeignEsme.bound(await command.port())).close()
    assert "truth log ended: No space left on device" in command.lines


def test_lines_past_what_a_reader_can_follow_become_one_number() -> None:
    now, said = [10.0], []
    lines = Lines(said.append, lambda: now[0], max_per_s=2)
    for number in range(5):
        lines.say(str(number))
    assert said == ["0", "1"]
    now[0] = 11.0
    lines.say("next")
    assert said == ["0", "1", "... and 3 more events", "next"]
    lines.settle()
    assert len(said) == 4

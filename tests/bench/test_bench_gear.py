"""What the bench's figures rest on: every answer is counted as what it is, every submit gets its receipt."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from smsproxy.domain.record import SegmentState
from smsproxy.stores.sqlite import SqliteStore
from tests.bench.messages import Request, Template
from tests.bench.wire_log import read_wire

ROOT = Path(__file__).parents[2]
HEAD = struct.Struct(">LLLL")
BIND_TRANSCEIVER, BIND_RECEIVER, BIND_TRANSMITTER = 0x09, 0x01, 0x02
SUBMIT_SM, DELIVER_SM, ENQUIRE_LINK, UNBIND = 0x04, 0x05, 0x15, 0x06
RESPONSE = 0x80000000


class Gear:
    """One bench process and the address it prints first."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.target: str = self.line()["listening"]

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        document: dict[str, Any] = json.loads(self.process.stdout.readline())
        return document

    def connect(self) -> socket.socket:
        host, _, port = self.target.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=5)


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Gear]:
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Gear(process)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def echo() -> Iterator[Gear]:
    with running("tests.bench.echo") as gear:
        yield gear


def load(target: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "tests.bench.load", "--json", "--target", target, "--timeout-s", "20"]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert not done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--streams", "3", "--connections", "2", "--window", "100", "--transaction-ids"),
        ("--streams", "2", "--window", "100", "--per-frame", "33"),
        ("--unary", "--streams", "1", "--window", "50"),
    ],
)
def test_every_message_of_a_load_run_is_answered_and_counted(echo: Gear, arguments: tuple[str, ...]) -> None:
    code, report = load(echo.target, "--messages", "2000", *arguments)
    assert code == 0
    assert (report["answered"], report["succeeded"], report["failures"], report["problems"]) == (
        2000,
        2000,
        {},
        {},
    )
    assert report["wall_s"] > 0
    assert report["cpu_us_per_message"] > 0
    assert 0 < report["p50_ms"] <= report["p99_ms"] <= report["max_ms"]


def test_the_echo_behind_our_edge_answers_every_message() -> None:
    with running("tests.bench.echo", "--guarded") as gear:
        code, report = load(gear.target, "--messages", "1000", "--streams", "2")
    assert (code, report["succeeded"], report["problems"]) == (0, 1000, {})


UNFENCED = """
import asyncio
from smsproxy.rpc import flow, guard, http2
fenced = [http2.Fence, guard.Sweeper, guard.Places, flow.MessageBuffer]
from tests.bench import unfenced
assert fenced == [http2.Fence, guard.Sweeper, guard.Places, flow.MessageBuffer]
unfenced.take_down()
bare = [http2.Fence, guard.Sweeper, guard.Places, flow.MessageBuffer]
assert all(issubclass(one, other) and one is not other for one, other in zip(bare, fenced))
from tests.bench.echo import EchoService, guarded
async def made():
    return guarded(EchoService())
server = asyncio.run(made())
print(type(server._places).__name__, type(server._sweeper).__name__)
"""


def test_the_fence_is_down_where_the_bench_takes_it_down_and_only_there() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNFENCED], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["NoPlaces", "NoSweeper"], "")


def test_a_refused_stream_is_a_problem_with_its_status(echo: Gear) -> None:
    code, report = load(echo.target, "--messages", "10", "--streams", "1", "--path", "/sms.v1.SmsService/No")
    assert code == 1
    assert report["answered"] == 0
    assert list(report["problems"]) == ["stream ended: grpc-status 12 Method not found"]


def test_smsc_answers_each_submit_and_then_sends_its_receipt() -> None:
    with running("tests.bench.fast_smsc", "--receipts") as smsc, smsc.connect() as esme:
        read = _bind(esme, BIND_TRANSCEIVER)
        esme.sendall(_submit(5) + _submit(6) + _submit(7, registered_delivery=0) + _pdu(ENQUIRE_LINK, 8))
        pdus = [read() for _ in range(6)]
        answers, receipts = pdus[:4], pdus[4:]
        assert [command_id for command_id, *_ in answers] == [SUBMIT_SM | RESPONSE] * 3 + [
            ENQUIRE_LINK | RESPONSE
        ]
        assert [sequence_number for _, _, sequence_number, _ in answers] == [5, 6, 7, 8]
        smsc_ids = [body.rstrip(b"\0") for _, _, _, body in answers[:3]]
        assert len(set(smsc_ids)) == 3
        for (command_id, _, _, body), smsc_id in zip(receipts, smsc_ids, strict=False):
            assert command_id == DELIVER_SM
            assert body.startswith(b"\0\x01\x01998901234567\0\x05\x00BENCH\0\x04")
            text = body[-body[33] :]
            assert body[34:] == text
            assert text.startswith(b"id:%b sub:001 dlvrd:001 " % smsc_id)
            assert b"stat:DELIVRD" in text
        esme.sendall(
            b"".join(_pdu(DELIVER_SM | RESPONSE, pdu[2], b"\0") for pdu in receipts) + _pdu(UNBIND, 9)
        )
        assert read()[0] == UNBIND | RESPONSE
        assert esme.recv(1) == b""
        counts = _counts(smsc)
    assert (counts["submits"], counts["receipts_sent"], counts["receipts_answered"]) == (3, 2, 2)
    assert (counts["binds"], counts["enquire_links"], counts["unbinds"], counts["bad_pdus"]) == (1, 1, 1, 0)


def test_receipts_of_a_transmitter_go_to_the_receiver_of_its_system_id() -> None:
    with (
        running("tests.bench.fast_smsc", "--receipts") as smsc,
        smsc.connect() as sender,
        smsc.connect() as taker,
    ):
        read_sender, read_taker = _bind(sender, BIND_TRANSMITTER), _bind(taker, BIND_RECEIVER)
        octets = _submit(2)
        sender.sendall(octets[:30])  # a PDU in two reads
        sender.sendall(octets[30:])
        assert read_sender()[0] == SUBMIT_SM | RESPONSE
        assert read_taker()[0] == DELIVER_SM


def test_a_late_smsc_answers_after_its_delay_and_logs_what_it_read_and_wrote(tmp_path: Path) -> None:
    log = tmp_path / "wire.log"
    with running("tests.bench.late_smsc", "--delay-ms", "50", "--log", str(log)) as smsc:
        with smsc.connect() as esme:
            read = _bind(esme, BIND_TRANSCEIVER)
            esme.sendall(_submit(2) + _submit(3)[:30])
            esme.sendall(_submit(3)[30:])
            answers = [pdu for pdu in (read() for _ in range(4)) if pdu[0] == SUBMIT_SM | RESPONSE]
        smsc.process.terminate()
        smsc.process.wait(10)
    entries = read_wire(log)
    bind, *rest = entries
    assert (bind.command, bind.direction, bind.system_id) == ("bind_transceiver", "in", "bench")
    submits = [entry for entry in rest if entry.command == "submit_sm"]
    written = [entry for entry in rest if entry.command == "submit_sm_resp"]
    receipts = [entry for entry in rest if entry.command == "deliver_sm"]
    assert (
        [entry.sequence_number for entry in submits] == [sequence for _, _, sequence, _ in answers] == [2, 3]
    )
    assert [(entry.smsc_id, entry.answer) for entry in submits] == [
        (body.rstrip(b"\0").decode(), 0) for *_, body in answers
    ]
    assert [entry.smsc_id for entry in receipts] == [entry.smsc_id for entry in submits]
    assert {entry.state for entry in receipts} == {"DELIVRD"}
    for submit, answer in zip(submits, written, strict=True):
        assert answer.at - submit.at >= 0.048, "a timer's clock is a millisecond coarse"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a module of the bench, which is run from the checkout's root and not installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"tests.bench.{name}")


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_answers_cut_anywhere_or_joined_are_counted_as_what_they_are(
    bench: Callable[[str], ModuleType], step: int
) -> None:
    streaming, tally = bench("streaming"), bench("tally").Tally(5)
    response = bench("messages").message_class("SmsResponse")
    answers = [response(success=True), response(), response(success=True, status="submitted"),
               response(status="rate_limited", error="app limit"), response(success=True)]  # fmt: skip
    wires = [answer.SerializeToString() for answer in answers]
    octets = b"".join(struct.pack(">BL", 0, len(wire)) + wire for wire in wires)
    lane = streaming.Lane(1, bench("messages").Request(), 0, 5)
    driver = streaming.StreamDriver([lane], 10, tally, lambda: None)
    for start in range(0, len(octets), step):
        padded = b"??" + octets[start : start + step] + b"??"
        driver.data(1, padded, 2, len(padded) - 2)
    assert (tally.answered, tally.succeeded) == (5, 3)
    assert tally.failures == {"no status: ": 1, "rate_limited: app limit": 1}


def test_settings_become_toml_that_reads_back(bench: Callable[[str], ModuleType]) -> None:
    link = {"window": 5, "tls": False}
    settings = {"server": {"listen": "x:1"}, "links": {"100": link, "101": link}, "include": ["a", "b"]}
    assert tomllib.loads(bench("daemon").to_toml(settings)) == settings


Pdu = tuple[int, int, int, bytes]


@pytest.mark.parametrize("transaction_ids", [False, True])
def test_every_request_has_a_recipient_of_its_own_and_they_come_in_no_order(transaction_ids: bool) -> None:
    template = Template(Request(transaction_ids=transaction_ids), 1)
    found = re.findall(rb"R\x0c998(\d{9})Z", template.frames(0, 3000) + template.frames(3000, 1000))
    assert len(found) == len(set(found)) == 4000
    assert found != sorted(found)


def _pdu(command_id: int, sequence_number: int, body: bytes = b"") -> bytes:
    return HEAD.pack(16 + len(body), command_id, 0, sequence_number) + body


def _submit(sequence_number: int, registered_delivery: int = 1) -> bytes:
    fields = bytes((0, 0, 0, 0, 0, registered_delivery, 0, 0, 0, 2))
    return _pdu(SUBMIT_SM, sequence_number, b"\0\x05\x00BENCH\0\x01\x01998901234567\0" + fields + b"hi")


def _bind(esme: socket.socket, command_id: int) -> Callable[[], Pdu]:
    """Bind, and return what reads the next PDU as (command_id, status, sequence_number, body)."""
    file = esme.makefile("rb")

    def read() -> Pdu:
        length, command, status, sequence_number = HEAD.unpack(file.read(16))
        return command, status, sequence_number, file.read(length - 16)

    esme.sendall(_pdu(command_id, 1, b"bench\0bench\0\0\x34\0\0\0"))
    assert read()[:3] == (command_id | RESPONSE, 0, 1)
    return read


def _counts(smsc: Gear) -> dict[str, Any]:
    smsc.process.send_signal(signal.SIGUSR1)
    return smsc.line()


@pytest.mark.parametrize("derived_ids", [False, True])
async def test_a_filled_store_is_one_of_ours_and_sound(
    bench: Callable[[str], ModuleType], tmp_path: Path, *, derived_ids: bool
) -> None:
    bench("stored").fill(
        tmp_path / "s.db", 500, "bench@127.0.0.1:1", derived_ids=derived_ids, kept=tmp_path / "kept"
    )
    store = SqliteStore(tmp_path / "s.db", retention_s=259_200)
    await store.open()
    try:
        assert store.counters["intents_marked_unknown"] == 0
        assert await store.sweep(time.time()) == 0
        with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as file:
            ids = [one for (one,) in file.execute("SELECT message_id FROM messages")]
        records = await store.find(ids)
        assert {record.status for record in records if record} == {SegmentState.DELIVERED}
        assert len(records) == 500
    finally:
        await store.close()

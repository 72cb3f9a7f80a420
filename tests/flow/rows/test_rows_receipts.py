"""Row 12 of the reliability matrix: receipts too many, too late, out of order, and written in every way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from held_load import HeldLoad, a_pool
from rows_kit import SOAK, check_ledger, metrics

from smsproxy.simulator import ledger
from smsproxy.simulator.entry import Entry
from smsproxy.simulator.ids import written
from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import encode
from tests.flow.kit import Client, Config, Daemon, Smsc, running, sms
from tests.flow.links.raw_smsc import RawSession, RawSmsc, Seen, pdu, receipt_body
from tests.golden.golden_receipts import CASES, pdu_of

RATE_PER_S = 50
DISORDER = {
    "receipts_before": ["ENROUTE", "ACCEPTD"],
    "receipt_repeats": 2,
    "receipts_after": ["ENROUTE", "EXPIRED", "UNDELIV"],
    "receipt_spacing_s": 0.02,
    "receipt_delay_s": 0.05,
    "receipt_jitter_s": 0.2,
}
RECEIPTS_EACH = 8
"""Two before the final one, that three times, three after it."""
HABITS: list[tuple[str, dict[str, Any]]] = [
    ("raw", {"id_format": "padded_hex_upper", "first_id": 0xAB00FF}),
    ("raw", {"id_format": "uuid", "receipt_form": "tlv"}),
    ("hex", {"id_format": "padded_hex_upper", "receipt_id_format": "hex", "first_id": 0xB8BE19}),
    (
        "hex_response_decimal_receipt",
        {"id_format": "hex", "receipt_id_format": "padded_decimal", "first_id": 0xAB00FF},
    ),
    (
        "decimal_response_hex_receipt",
        {"id_format": "decimal", "receipt_id_format": "hex_upper", "receipt_form": "payload"},
    ),
]
"""The rule of a link, and how its SMSC writes ids and receipts."""
STATUSES = {"SUBMITTED": "submitted"}
"""What SmsInfo calls a state, where it is another word."""


@pytest.mark.long
def test_row_12_receipts_in_disorder_and_in_any_spelling_never_move_a_message_back(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        smscs = [
            stack.enter_context(running(Smsc(tmp_path / str(number), {**DISORDER, **habit})))
            for number, (_, habit) in enumerate(HABITS)
        ]
        rules = {f"links.{number}": {"receipt_id": rule} for number, (rule, _) in enumerate(HABITS, 100)}
        config = a_pool(tmp_path, [smsc.port for smsc in smscs], rules)
        daemon = stack.enter_context(running(Daemon(config)))
        for number in range(len(smscs)):
            daemon.wait_bound(100 + number)
        load = HeldLoad(daemon.target, RATE_PER_S, 60 if SOAK else 8)
        with Client(daemon.target) as client, watched(client, load) as backward:
            with load:
                pass
            for answer in load.campaign.said.values():
                delivered(client, answer)
        assert not backward
        stored = all_stored(tmp_path / "http.sock")
        entries = [
            as_in_the_answer(entry, habit)
            for smsc, (_, habit) in zip(smscs, HABITS, strict=True)
            for entry in smsc.entries()
        ]
    assert load.campaign.ends == {"submitted": RATE_PER_S * load.duration_s}
    taken, sent = ledger.submits(entries), ledger.receipts(entries)
    assert len(sent) == RECEIPTS_EACH * len(taken) == stored, "a receipt was repeated, or not stored"
    answered = [entry for entry in entries if entry.direction == "in" and entry.command == "deliver_sm_resp"]
    assert [entry.command_status for entry in answered] == [c.ESME_ROK] * len(sent)
    check_ledger(load.campaign, entries, config)


def as_in_the_answer(entry: Entry, habit: dict[str, Any]) -> Entry:
    """A receipt with its id as the answer spelt it, so that the ledger can join them."""
    form = habit.get("receipt_id_format", "")
    if not form or entry.command != "deliver_sm":
        return entry
    number = int(entry.smsc_id, 16 if "hex" in form else 10)
    return replace(entry, smsc_id=written(number, habit["id_format"], "")[0])


def delivered(client: Client, answer: Any) -> None:
    """Wait until every part is; it stays so, whatever comes after."""
    deadline = time.monotonic() + 10
    while (status := client.info(answer.message_id, 1000).status) != "DELIVERED":
        assert time.monotonic() < deadline, (answer, status)
        time.sleep(0.01)


def all_stored(path: Path) -> float:
    """Wait until the receipts of every segment are stored; how many they are."""
    deadline = time.monotonic() + 10
    while True:
        counted = metrics(path)
        accepted = sum(v for name, v in counted.items() if name.startswith("smsproxy_submits_accepted_total"))
        stored = counted["smsproxy_receipts_stored_total"]
        if stored >= RECEIPTS_EACH * accepted:
            return stored
        assert time.monotonic() < deadline, (stored, accepted)
        time.sleep(0.05)


@contextlib.contextmanager
def watched(client: Client, load: HeldLoad) -> Iterator[list[tuple[str, str, str]]]:
    """Ask for the state of each part over and over; what moved back is in the list: (message, was, is)."""
    backward: list[tuple[str, str, str]] = []
    known: dict[tuple[str, str], str] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            for answer in list(load.campaign.said.values())[-RATE_PER_S:]:
                for part, state in client.info(answer.message_id, 1000).parts.items():
                    was = known.setdefault((answer.message_id, part), state)
                    if was != state and was != "submitted":
                        backward.append((answer.message_id, was, state))
                    known[answer.message_id, part] = state

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield backward
    finally:
        over.set()
        thread.join(10)


# -- over the wire, one by one -------------------------------------------------------------------------------


class Wire:
    """A daemon whose only link leads to an SMSC that the test plays by hand."""

    def __init__(self, daemon: Daemon, client: Client, session: RawSession, folder: Path) -> None:
        self._daemon = daemon
        self._client = client
        self._session = session
        self._folder = folder
        self._numbers = iter(range(1, 1_000_000))

    async def taken(self, smsc_id: str, text: str) -> Any:
        """The answer to a message that the SMSC takes under this id."""
        call = asyncio.to_thread(self._client.send, sms(message=text))
        task = asyncio.ensure_future(call)
        submit = await self._session.next("submit_sm")
        self._session.answer(submit, smsc_id.encode("latin-1") + b"\0")
        return await task

    async def say(self, octets: bytes) -> Seen:
        """Send a PDU; what comes back. It must be the next thing that does."""
        self._session.send_octets(octets)
        async with asyncio.timeout(10):
            return await self._session.by_hand.get()

    async def status(self, answer: Any) -> str:
        return str((await asyncio.to_thread(self._client.info, answer.message_id)).status)

    async def counted(self, name: str) -> float:
        return (await asyncio.to_thread(metrics, self._folder / "http.sock"))[name]


@contextlib.asynccontextmanager
async def a_wire(folder: Path, **link: Any) -> Any:
    tables = {"links.100": link, "http": {"listen": f"unix:{folder}/http.sock"}}
    async with RawSmsc() as smsc:
        smsc.submit_status = lambda _: None
        config = Config(folder, smsc.port, tables).write()
        daemon = await asyncio.to_thread(Daemon, config)
        try:
            session = await smsc.next_bound()
            await asyncio.to_thread(daemon.wait_bound)
            with Client(daemon.target) as client:
                yield Wire(daemon, client, session, folder)
        finally:
            await asyncio.to_thread(daemon.stop)
        assert not daemon.count_lines("Traceback"), "\n".join(daemon.lines)


def a_receipt(number: int, smsc_id: str) -> bytes:
    return pdu("deliver_sm", number, receipt_body(smsc_id))


async def test_row_12_every_golden_receipt_is_read_over_the_wire(tmp_path: Path) -> None:
    async with a_wire(tmp_path) as wire:
        for number, case in enumerate(CASES, 1):
            answer = await wire.taken(case.get("id", "nobody's"), f"golden {number}")
            reply = await wire.say(encode(pdu_of(case), number))
            name, status = ("data_sm_resp" if case.get("pdu") else "deliver_sm_resp"), c.ESME_ROK
            wanted = "submitted"
            if case.get("bad"):
                status = c.ESME_RX_P_APPN
            elif not case.get("none"):
                wanted = STATUSES.get(case["state"], case["state"])
            assert (reply.name, reply.status, reply.number) == (name, status, number), case["name"]
            assert await wire.status(answer) == wanted, case["name"]


@pytest.mark.long
async def test_row_12_receipts_for_nobody_are_answered_ok_and_counted(tmp_path: Path) -> None:
    count = 10_000 if SOAK else 200
    async with a_wire(tmp_path) as wire:
        answer = await wire.taken("0Ab1", "mine")
        for number in range(1, count + 1):
            octets = a_receipt(number, f"unknown-{number}")
            assert (await wire.say(octets)).status == c.ESME_ROK
        assert await wire.counted("smsproxy_receipts_parked_total") == count
        assert await wire.status(answer) == "submitted"


@pytest.mark.long
@pytest.mark.parametrize("spelt", ["ab1", "0AB1", "00Ab1", "2737"])
async def test_row_12_without_a_rule_an_id_in_another_spelling_is_another_id(
    tmp_path: Path, spelt: str
) -> None:
    async with a_wire(tmp_path) as wire:
        answer = await wire.taken("0Ab1", "mine")
        assert (await wire.say(a_receipt(1, spelt))).status == c.ESME_ROK
        assert await wire.status(answer) == "submitted"
        assert (await wire.say(a_receipt(2, "0Ab1"))).status == c.ESME_ROK
        assert await wire.status(answer) == "DELIVERED"

"""Row 13 of the reliability matrix: messages of five parts, the third refused, never answered, or cut off.

Each link sends a part every 33 ms, so that a refusal is known well before the next part's turn.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from held_load import HeldLoad, a_pool, recipient
from rows_kit import SOAK, check_ledger

from smsproxy.simulator import ledger
from smsproxy.simulator.entry import Entry
from smsproxy.smpp.constants import ESME_RINVDSTADR, ESME_ROK
from tests.flow.kit import Client, Daemon, Smsc, running

LINKS = 4
PARTS = 5
RATE_PER_S = 20
DURATION_S = 60 if SOAK else 5
LINK = {"rate_per_s": 30, "burst": 1, "response_timeout_s": 1.0, "reconnect_max_s": 1}
ON_ITS_WAY_S = 0.05 if SOAK else 0.25
"""A part that was written before the refusal was known comes to the SMSC's log this much after it at most."""
MOST = 0.8
"""Of the messages: the trouble is known before the next part's turn, unless a process is held up then."""
EVERY = 10


def five_parts(number: int) -> str:
    """Long enough for five, and each of them says what kind of message it is of."""
    return f"{'troubled' if number % EVERY == 0 else 'ordinary'}-{number:05} " * 46


@dataclass
class Message:
    """What became of one: the answer, the record (segment number to state), the submits by link."""

    answer: Any
    record: Any
    submits: list[tuple[int, Entry]]

    @property
    def states(self) -> list[str]:
        return [self.record.parts[str(number)] for number in range(1, PARTS + 1)]

    def as_the_smsc_saw_it(self) -> list[str]:
        """The states that its parts must have, by the truth log."""
        seen = {entry.segment_no: entry.answer for _, entry in self.submits}
        return [_state(seen, number) for number in range(1, PARTS + 1)]


def _state(seen: dict[int, int | None], number: int) -> str:
    if number not in seen:
        return "not_sent"
    words = {ESME_ROK: "DELIVERED", None: "unknown"}
    return words.get(seen[number], "REJECTED")


@dataclass
class Run:
    """A run: the messages whose third part had the trouble, the others, all log entries."""

    troubled: list[Message]
    fine: list[Message]
    entries: list[Entry]


def run(folder: Path, rule: dict[str, Any]) -> Run:
    """The whole load against four SMSCs with this rule for the third part of some messages."""
    script = {"rules": [{**rule, "segment_no": 3, "text_contains": "troubled"}], "answer_delay_s": 0.002}
    with contextlib.ExitStack() as stack:
        smscs = [stack.enter_context(running(Smsc(folder / str(n), script))) for n in range(LINKS)]
        config = a_pool(folder, [smsc.port for smsc in smscs], **LINK)
        daemon = stack.enter_context(running(Daemon(config)))
        for number in range(LINKS):
            daemon.wait_bound(100 + number)
        with HeldLoad(daemon.target, RATE_PER_S, DURATION_S, text=five_parts) as load:
            pass
        with Client(daemon.target) as client:
            records = {key: client.info(said.message_id, 1000) for key, said in load.campaign.said.items()}
        logs = [smsc.entries() for smsc in smscs]
    entries = [entry for log in logs for entry in log]
    check_ledger(load.campaign, entries, config)
    submits: dict[str, list[tuple[int, Entry]]] = {}
    for link_id, log in enumerate(logs, 100):
        for entry in ledger.submits(log):
            submits.setdefault(entry.destination, []).append((link_id, entry))
    found: dict[bool, list[Message]] = {True: [], False: []}
    for key, said in load.campaign.said.items():
        number = int(key.rpartition("-")[2])
        message = Message(said, records[key], submits[recipient(number)])
        found[number % EVERY == 0].append(message)
    for message in (*found[True], *found[False]):
        went_over_one_link_in_order(message)
    return Run(found[True], found[False], entries)


def went_over_one_link_in_order(message: Message) -> None:
    """All its parts took the link that the answer names, first to last; the ids are theirs, in that order."""
    assert {link_id for link_id, _ in message.submits} == {message.answer.esme}
    numbers = [entry.segment_no for _, entry in message.submits]
    assert numbers == sorted(set(numbers))
    assert message.record.mode == "multipart"


def ids_of_taken(message: Message) -> list[str]:
    return [entry.smsc_id for _, entry in message.submits if entry.answer == ESME_ROK]


def all_fine(messages: list[Message]) -> None:
    for message in messages:
        assert message.answer.status == "submitted"
        assert message.states == ["DELIVERED"] * PARTS
        assert list(message.answer.sms_ids) == ids_of_taken(message)


@pytest.mark.long
def test_row_13_no_part_follows_a_refused_one_and_the_record_shows_each(tmp_path: Path) -> None:
    done = run(tmp_path, {"do": "error", "status": "ESME_RINVDSTADR"})
    refusals = [entry for entry in done.entries if entry.command_status == ESME_RINVDSTADR]
    assert len(refusals) == len(done.troubled) == RATE_PER_S * DURATION_S // EVERY
    followed = 0
    for message in done.troubled:
        assert message.answer.status == "rejected"
        assert "segment 3" in message.answer.error
        assert "ESME_RINVDSTADR 0x0000000B" in message.answer.error
        assert list(message.answer.sms_ids) == ids_of_taken(message)
        assert message.states == message.as_the_smsc_saw_it()
        (third,) = [entry for _, entry in message.submits if entry.segment_no == 3]
        late = [entry for _, entry in message.submits if entry.at > third.at + ON_ITS_WAY_S]
        assert len(late) <= 1, "the second part that follows cannot have been on its way"
        followed += len(late)
    assert followed <= 0.02 * len(done.troubled), "parts were written though the refusal was known"
    stopped = [message for message in done.troubled if message.states[3:] == ["not_sent"] * 2]
    assert len(stopped) >= MOST * len(done.troubled)
    all_fine(done.fine)


@pytest.mark.long
def test_row_13_a_part_that_is_never_answered_leaves_the_message_in_doubt(tmp_path: Path) -> None:
    done = run(tmp_path, {"do": "silent"})
    for message in done.troubled:
        assert message.answer.status == "unknown"
        assert message.states == message.as_the_smsc_saw_it()
        assert message.states == ["DELIVERED"] * 2 + ["unknown"] + ["DELIVERED"] * 2
        assert list(message.answer.sms_ids) == ids_of_taken(message)
    all_fine(done.fine)


@pytest.mark.long
def test_row_13_a_cut_at_the_third_part_leaves_the_rest_unsent(tmp_path: Path) -> None:
    done = run(tmp_path, {"do": "cut"})
    for message in done.troubled:
        assert message.answer.status == "unknown"
        assert message.states[2] == "unknown"
        assert set(message.states[3:]) <= {"not_sent", "unknown"}
        ids = ids_of_taken(message)
        assert list(message.answer.sms_ids) == [
            smsc_id for smsc_id, state in zip(ids, message.states, strict=False) if state == "DELIVERED"
        ]
    stopped = [message for message in done.troubled if message.states[3:] == ["not_sent"] * 2]
    assert len(stopped) >= MOST * len(done.troubled)
    for message in done.fine:
        agrees_or_is_in_doubt(message)
    all_fine([message for message in done.fine if message.answer.status == "submitted"])


def agrees_or_is_in_doubt(message: Message) -> None:
    """A message that was under way at a cut: what the SMSC took is delivered, or its answer was lost."""
    for state, seen in zip(message.states, message.as_the_smsc_saw_it(), strict=True):
        assert state == seen or state == "unknown"
    assert (message.answer.status == "submitted") == ("unknown" not in message.states)

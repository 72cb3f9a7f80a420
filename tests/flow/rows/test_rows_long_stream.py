"""Row 17 of the reliability matrix: a stream of 100,000 messages with bad ones inside, beside the held load.

`odd_stream` sends it, in a process of its own. One answer per request and in order, whatever is bad; a reader
that stops stops the sending; what is under way at the half-close is answered.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from held_pool import HeldPool
from odd_stream import LAST, NUMBERS, WINDOW, answers_in
from rows_kit import SOAK, Campaign, Growth, check_ledger, together

from tests.flow.kit import M, Process, running

COUNT = 100_000 if SOAK else 6000
STOP_S = 60 if SOAK else 6
BEFORE_S = 30 if SOAK else 1
LONGEST_S = 240
STREAM_WINDOW = 1024
GROWTH_MIB = 20


@pytest.mark.long
@pytest.mark.timeout(600)
def test_row_17_a_long_stream_is_answered_in_order_and_stops_when_its_reader_does(tmp_path: Path) -> None:
    with HeldPool(tmp_path, {}) as held:
        arguments = ["-m", "tests.flow.rows.odd_stream", held.daemon.target, tmp_path, COUNT, STOP_S]
        with held.load(BEFORE_S + LONGEST_S) as load:
            growth = Growth(held.daemon.process.pid)
            growth.alone(BEFORE_S)
            with running(Process(list(map(str, arguments)), program=[sys.executable])) as process:
                began = time.monotonic()
                process.wait_line("stopped", timeout_s=LONGEST_S)
                growth.from_now()
                while not process.count_lines("resumed"):
                    growth.beside()
                    time.sleep(0.1)
                process.wait_line('"sent"', timeout_s=LONGEST_S)
                seen = json.loads(process.wait_line('"sent"'))
                took_s = time.monotonic() - began
            load.stop()
        entries = held.entries()
    answers = answers_in(tmp_path)
    long_stream = judged([M["SmsResponse"].FromString(answer) for answer in answers])
    print(f"{seen}; {took_s:.0f} s; in the stop {growth}; beside {load.campaign.ends}")
    check_ledger(together(load.campaign, long_stream), entries, held.config)
    assert (seen["status"], seen["sent"], seen["answered"]) == (0, COUNT, COUNT)
    assert seen["left_at_half_close"] >= LAST
    first, last = NUMBERS.format(0), NUMBERS.format(COUNT)
    written = [
        entry.at for entry in entries if entry.command == "submit_sm" and first <= entry.destination < last
    ]
    # What the reader's window holds, and unwritten answers beside as many messages that have not ended.
    bound = seen["answered_at_stop"] + WINDOW // (5 + min(map(len, answers))) + 2 * STREAM_WINDOW
    assert sum(at < seen["resumed_at"] for at in written) <= bound < COUNT
    assert not [at for at in written if seen["resumed_at"] - STOP_S / 4 < at < seen["resumed_at"]]
    assert set(load.campaign.ends) == {"submitted"}
    assert growth.mib <= GROWTH_MIB


def judged(answers: list[Any]) -> Campaign:
    """The good messages of the stream and what was said of them; each answer stood in its place."""
    found = Campaign({})
    assert len(answers) == COUNT
    for number, answer in enumerate(answers):
        if number % 100 == 99:
            assert answer.status == "invalid", (number, answer)
            assert answer.error == "malformed protobuf" or answer.error.startswith("daddr"), (number, answer)
            continue
        assert (answer.transaction_id, answer.status) == (f"long-{number}", "submitted"), answer
        found.texts[answer.transaction_id] = f"long stream message {number}"
        found.numbers[answer.transaction_id] = NUMBERS.format(number)
        found.note(answer)
    return found

"""Row 38 of the reliability matrix: the process is stopped and goes on; the wall clock jumps."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from callers import LINKS, WINDOW, bound, four_links
from held_load import HeldLoad
from rows_kit import SOAK, check_ledger, metrics

from smsproxy.simulator.ledger import submits
from tests.flow.kit import Daemon, Smsc, running, token
from tests.flow.ledger import read_store

STOPPED_S = 20.0 if SOAK else 3.0
RESPONSE_TIMEOUT_S = 5.0 if SOAK else 1.0
RATE_PER_S = 500 if SOAK else 150
JUMPING_PER_S = 150  # a faked clock costs the daemon much of its time
JUMPS = ("+3600s", "-3600s", "+0s")
HL = {"answer_delay_s": 0.02, "answer_jitter_s": 0.01, "receipt_delay_s": 0.1, "receipt_jitter_s": 0.4}


@pytest.mark.long
def test_row_38_a_process_that_was_stopped_sends_nothing_twice_and_ends_each_message_once(
    tmp_path: Path,
) -> None:
    script = {**HL, "rules": [{"do": "silent", "every": 50}]}
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        config = four_links(tmp_path, smsc, response_timeout_s=RESPONSE_TIMEOUT_S, reconnect_max_s=0.2)
        with running(bound(Daemon(config))) as daemon:
            load = HeldLoad(daemon.target, RATE_PER_S, STOPPED_S + 6)
            with load:
                time.sleep(2)
                os.kill(daemon.process.pid, signal.SIGSTOP)
                time.sleep(STOPPED_S)
                os.kill(daemon.process.pid, signal.SIGCONT)
            counted = metrics(tmp_path / "http.sock")
            assert daemon.stop() == 0
        entries = smsc.entries()
        counts = check_ledger(load.campaign, entries, config)
    silent = sum(entry.answer is None for entry in submits(entries))
    # What piled up while it was stopped comes at once: a unary call may have too long to wait.
    assert set(counts.ends) <= {"submitted", "unknown", "rate_limited"}
    assert silent * 0.5 < counts.ends["unknown"] <= silent + LINKS * WINDOW, "and what was on its way"
    in_use = [value for name, value in counted.items() if "link_window_in_use" in name]
    assert in_use == [0] * LINKS
    timed_out = sum(value for name, value in counted.items() if "submits_in_doubt_total" in name)
    assert silent <= timed_out <= silent + LINKS * WINDOW, "each time-out once"


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("faketime"), reason="no faketime here (Debian: apt install faketime)")
def test_row_38_a_wall_clock_that_jumps_an_hour_either_way_changes_nothing(tmp_path: Path) -> None:
    shim = subprocess.check_output(["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], text=True).strip()
    offset = tmp_path / "offset"
    offset.write_text("+0s\n")
    env = {
        "LD_PRELOAD": shim,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with running(Smsc(tmp_path / "smsc", HL)) as smsc:
        config = four_links(tmp_path, smsc)
        with running(bound(Daemon(config, env=env))) as daemon:
            each_s = 15.0 if SOAK else 2.0
            jumps = threading.Thread(target=_jump, args=(offset, each_s))
            jumps.start()
            with HeldLoad(
                daemon.target, JUMPING_PER_S, each_s * (len(JUMPS) + 1), bearer=token(ttl_s=86_400)
            ) as load:
                pass
            jumps.join()
            assert daemon.stop() == 0
        counts = check_ledger(load.campaign, smsc.entries(), config, clock_s=3700)
    assert counts.ends == {"submitted": counts.messages}
    assert counts.in_doubt == 0
    times = [record.created_at for record in read_store(config)]
    assert max(times) - min(times) > 7000, "the clock did jump"


def _jump(offset: Path, each_s: float) -> None:
    for jump in JUMPS:
        time.sleep(each_s)
        offset.write_text(f"{jump}\n")

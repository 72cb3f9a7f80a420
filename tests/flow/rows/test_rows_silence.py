"""Row 36 of the reliability matrix: nothing planted comes out anywhere, and no flood becomes one of lines.

Ten thousand bad requests a second beside the held load, each with a planted text, number, secret or token
where its fault is. (That no daemon of any flow test shows a secret, a token or a number is in `kit.running`.)
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from held_load import HeldLoad, percentile
from held_pool import RATE, HeldPool
from noisy_caller import BAD_TOKEN, NUMBER, TEXT, WORD
from rows_kit import SOAK, check_ledger, metrics

from tests.flow.kit import SECRET, Daemon, Process, running, token

SECONDS = 60 if SOAK else 5
PER_S = 10_000 if SOAK else 2000
BEFORE_S = 2
LINES_PER_S = 10
PASSWORD = "pl4nt3dp"
BEARER = token(ttl_s=3600)
DROPPED = ("smsproxy_auth_log_lines_dropped_total", "smsproxy_grant_log_lines_dropped_total")


def exposed(path: Path) -> str:
    """All that the daemon's HTTP listener tells: /metrics, /readyz and /healthz as they are."""
    found = []
    for page in ("/metrics", "/readyz", "/healthz"):
        connection = http.client.HTTPConnection("localhost", timeout=5)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", page)
        found.append(connection.getresponse().read().decode())
        connection.close()
    return "\n".join(found)


def lines_a_second(daemon: Daemon) -> Counter[tuple[str, str]]:
    """How many lines of one event came in one second of the daemon's clock."""
    lines = [json.loads(line) for line in daemon.lines if line.startswith("{")]
    return Counter((line["event"], line["timestamp"][:19]) for line in lines)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_row_36_nothing_planted_comes_out_and_ten_thousand_bad_requests_a_second_flood_no_log(
    tmp_path: Path,
) -> None:
    path = tmp_path / "http.sock"
    with HeldPool(tmp_path, {}, password=PASSWORD) as held:
        load = HeldLoad(
            held.daemon.target, RATE, SECONDS + BEFORE_S + 30, bearer=BEARER,
            text=lambda number: f"{TEXT} {number}",
        )  # fmt: skip
        with load:
            time.sleep(BEFORE_S)
            arguments = ["-m", "tests.flow.rows.noisy_caller", held.daemon.target, path, PER_S, SECONDS]
            with running(Process(list(map(str, arguments)), program=[sys.executable])) as process:
                told = json.loads(process.wait_line('"texts"', timeout_s=SECONDS + 60))
            load.stop()
        counted, shown = metrics(path), exposed(path)
        output = "\n".join([*held.daemon.lines, shown, *told["texts"]])
        most = lines_a_second(held.daemon).most_common(3)
        entries = held.entries()
    print(f"{told['sent']} bad messages in {SECONDS} s: {told['answers']}, beside {told['calls']}")
    print(f"most lines of an event in a second: {most}; dropped {[counted[name] for name in DROPPED]}")
    p99_ms = 1000 * percentile(load.waits(), 0.99)
    print(f"{len(output)} characters, {len(told['texts'])} texts; load p99 {p99_ms:.0f} ms")
    planted = [SECRET, WORD, PASSWORD, BEARER, BAD_TOKEN, TEXT, TEXT.upper(), NUMBER]
    assert [line for line in output.splitlines() if any(word in line for word in planted)] == []
    assert [number for number in load.campaign.numbers.values() if number in output] == []
    assert not re.search(r"eyJ[\w-]{10,}\.", output)
    assert most[0][1] <= LINES_PER_S
    assert all(counted[name] > 0 for name in DROPPED)
    assert '"level": "error"' not in output
    assert told["end"] == ""
    assert told["answers"]["all"] >= 0.9 * told["sent"]
    assert told["sent"] >= (0.9 if SOAK else 0.2) * PER_S * SECONDS
    assert set(load.campaign.ends) == {"submitted"}
    check_ledger(load.campaign, entries, held.config)

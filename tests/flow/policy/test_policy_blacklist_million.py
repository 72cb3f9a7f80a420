"""A blacklist of a million numbers: what loading and looking up cost, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ENTRIES = 1_000_000
_MEASURE = """
import json, sys, time, timeit
from smsproxy.policy.blacklist import load

def peak_kib():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])

before = peak_kib()
began = time.perf_counter()
listed = load([sys.argv[1]])
load_s = time.perf_counter() - began
found, missing = "998900500001", "79161234567"
assert listed.contains(found) and listed.contains("9989555555") and not listed.contains(missing)
lookup_s = min(timeit.repeat(lambda: listed.contains(missing), number=100_000, repeat=5)) / 100_000
hit_s = min(timeit.repeat(lambda: listed.contains(found), number=100_000, repeat=5)) / 100_000
print(json.dumps({"entries": len(listed), "load_s": load_s, "peak_mb": (peak_kib() - before) / 1024,
                  "lookup_us": max(lookup_s, hit_s) * 1e6}))
"""


@pytest.mark.long
def test_a_million_numbers_load_in_two_seconds_and_100_mb_and_are_found_in_a_microsecond(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "million.csv"
    with path.open("w") as lines:
        lines.writelines(f"{998_900_000_001 + 2 * n}\n" for n in range(ENTRIES - 1))
        lines.write("9989555*\n")
    command = [sys.executable, "-c", _MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\nblacklist: {found}")
    assert found["entries"] == ENTRIES
    assert found["peak_mb"] <= 100
    assert found["load_s"] <= 5 * 2
    assert found["lookup_us"] <= 5 * 1

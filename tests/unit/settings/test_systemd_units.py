"""The units in systemd/: consistent with the configuration, verified and rated where systemd is at hand."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from smsproxy.settings import ServerSettings

ROOT = Path(__file__).parents[3]
UNITS = ["smsproxy.service", "smsproxy@.service"]
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def keys_of(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (ROOT / "systemd" / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", UNITS)
def test_a_drain_ends_before_systemd_loses_patience(name: str) -> None:
    assert int(keys_of(name)["TimeoutStopSec"][0]) > ServerSettings().drain_s


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_notifies_beats_and_starts_again(name: str) -> None:
    keys = keys_of(name)
    assert (keys["Type"], keys["WatchdogSec"], keys["Restart"]) == (["notify"], ["10"], ["on-failure"])
    assert "RestartPreventExitStatus" not in keys  # a disk or a port may be back in the morning


@pytest.mark.parametrize("name", UNITS)
def test_every_credential_of_the_production_example_has_its_line(name: str) -> None:
    text = (ROOT / "systemd" / name).read_text()
    wanted = set(re.findall(r'"credential:([^"]+)"', (ROOT / "config" / "production.toml").read_text()))
    assert wanted <= set(re.findall(r"^#?LoadCredential=([^:]+):/", text, re.MULTILINE))


def test_the_two_units_differ_only_by_the_instance() -> None:
    one, many = (keys_of(name) for name in UNITS)
    assert {key for key in one if one[key] != many[key]} == {
        "Description", "ExecStart", "StateDirectory", "RuntimeDirectory", "WorkingDirectory",
    }  # fmt: skip
    assert one.keys() == many.keys()


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.peer
@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_the_unit(name: str, tmp_path: Path) -> None:
    unit = tmp_path / name.replace("@", "@1")
    text = (ROOT / "systemd" / name).read_text()
    unit.write_text(text.replace("/opt/smsproxy/bin/smsproxy run", "/bin/true"))  # it need not be installed
    done = analyze("verify", str(unit))
    newer = ("RestartSteps", "RestartMaxDelaySec")  # systemd 254
    told = [
        line
        for line in done.stderr.splitlines()
        if unit.name in line and not any(key in line for key in newer)
    ]
    assert (done.returncode, told) == (0, [])


@pytest.mark.peer
@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_the_units_exposure_is_at_most_one_and_a_half(name: str) -> None:
    done = analyze("security", "--offline=true", "--threshold=15", str(ROOT / "systemd" / name))
    assert done.returncode == 0, done.stdout[-200:]

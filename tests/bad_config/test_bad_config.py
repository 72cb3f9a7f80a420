"""One defect a file: what the operator reads of it is the file's first line (`{here}` is this folder)."""

from __future__ import annotations

from pathlib import Path

import pytest

from smsproxy import __main__ as program
from smsproxy.settings import ConfigError, load

HERE = Path(__file__).parent
FILES = sorted(path.name for path in HERE.glob("*.toml"))


def test_there_are_forty_defects_and_more() -> None:
    assert len(FILES) >= 40


@pytest.mark.parametrize("name", FILES)
def test_one_defect_is_one_line_that_names_file_key_and_rule(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    expected = Path(name).read_text().splitlines()[0].removeprefix("# ").replace("{here}", str(HERE))
    with pytest.raises(ConfigError) as caught:
        load(Path(name), environ={})
    told = [str(fault) for fault in caught.value.faults]
    if expected.endswith("TOML syntax:"):  # what follows are the words of Python's own parser
        told = [line[: len(expected)] for line in told]
    assert told == [expected]


@pytest.mark.parametrize("command", ["check-config", "run"])
@pytest.mark.parametrize("name", FILES)
def test_a_command_tells_it_on_stderr_and_ends_with_2(
    name: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(HERE)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    expected = Path(name).read_text().splitlines()[0].removeprefix("# ").replace("{here}", str(HERE))
    assert program.run([command, "--config", name]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert [line[: len(expected)] for line in told.err.splitlines()] == [expected]

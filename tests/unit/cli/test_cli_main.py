"""The process around the commands: exit codes that do not come from a command itself."""

from __future__ import annotations

import click
import pytest

from smsproxy import __main__ as program


@pytest.mark.parametrize(
    ("ends_by", "code"),
    [(click.Abort(), 130), (click.ClickException("no"), 1), (click.UsageError("no"), 2)],
)
def test_a_command_that_is_cut_off_has_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ends_by: Exception, code: int
) -> None:
    def ends(*_: object, **__: object) -> None:
        raise ends_by

    monkeypatch.setattr(program.cli, "main", ends)
    assert program.run(["send"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_version_is_printed_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("smsproxy ")


def test_an_unknown_command_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["sned"]) == 2
    assert "sned" in capsys.readouterr().err

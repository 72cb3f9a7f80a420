"""Fixtures of the tests of the commands.

The fake daemon lives with the client's tests: their folder is put on the path first, so what needs it is
imported inside the fixtures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from smsproxy.cli.main import cli

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """Call `smsproxy` in this process; whatever it raises beyond an exit code fails the test."""

    def call(*arguments: str | Path | int) -> Result:
        return CliRunner(catch_exceptions=False).invoke(cli, [str(one) for one in arguments])

    return call


@pytest.fixture
def daemon() -> Iterator[Any]:
    from cli_kit import DaemonThread

    thread = DaemonThread()
    yield thread.fake
    thread.stop()


@pytest.fixture
def config(tmp_path: Path, daemon: Any) -> Path:
    """A configuration whose listener is the fake daemon's."""
    from cli_kit import write_config

    return write_config(tmp_path, daemon.port)

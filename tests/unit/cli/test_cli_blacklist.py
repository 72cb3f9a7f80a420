"""`smsproxy blacklist`: on the list, off the list, and why not."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
from cli_kit import Invoke, write_config

NUMBER = "998901234567"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "never.csv").write_text("998900000000\n7916*\n")
    more = f'[policy]\npath = "{tmp_path}/policy.db"\n[policy.blacklist]\nfiles = ["never.csv"]\n'
    return write_config(tmp_path, more=more)


def test_a_number_goes_on_the_list_and_off_again(invoke: Invoke, config: Path) -> None:
    def run(command: str) -> tuple[int, str]:
        done = invoke("blacklist", command, f"+{NUMBER}", "--config", str(config))
        return done.exit_code, done.stdout

    assert run("check") == (1, f"{NUMBER}: not listed\n")
    assert run("add") == (0, f"{NUMBER}: added\n")
    assert run("add") == (0, f"{NUMBER}: was on the list already\n")
    assert run("check") == (0, f"{NUMBER}: added by hand\n")
    assert run("remove") == (0, f"{NUMBER}: removed\n")
    assert run("remove") == (1, f"{NUMBER}: had not been added\n")


def test_what_a_file_lists_is_told_and_stays(invoke: Invoke, config: Path) -> None:
    where = ["79161234567", "--config", str(config)]
    assert invoke("blacklist", "check", *where).stdout == "79161234567: listed by a file\n"
    assert invoke("blacklist", "add", *where).exit_code == 0
    both = invoke("blacklist", "check", *where, "--json").stdout
    assert json.loads(both)["result"] == "added by hand, listed by a file"
    done = invoke("blacklist", "remove", *where)
    assert (done.exit_code, done.stdout) == (1, "79161234567: removed; a file lists it\n")


@pytest.mark.parametrize("number", ["9989*", "phone", "1" * 21, "", "++1", "٩٩٨"])
def test_what_is_no_number_is_refused(invoke: Invoke, config: Path, number: str) -> None:
    done = invoke("blacklist", "add", number, "--config", str(config))
    assert done.exit_code == 2
    assert "must be 1 to 20 digits; a prefix* belongs into a file" in done.stderr


def test_without_a_file_to_keep_it_in_the_key_is_named(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("blacklist", "add", NUMBER, "--config", str(write_config(tmp_path)))
    assert done.exit_code == 2
    assert (
        done.stderr == "smsproxy: policy.path: names no file to keep numbers in, and no Redis is configured\n"
    )


def test_a_file_that_is_none_of_ours_is_one_line_and_left_alone(
    invoke: Invoke, config: Path, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "policy.db") as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    done = invoke("blacklist", "add", NUMBER, "--config", str(config))
    assert (done.exit_code, done.stderr) == (
        2,
        f"smsproxy: {tmp_path}/policy.db: not a smsproxy policy file (other tables are in it)\n",
    )


def test_the_file_it_makes_is_nobody_elses(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    assert invoke("blacklist", "add", NUMBER, "--config", str(config)).exit_code == 0
    assert os.stat(tmp_path / "policy.db").st_mode & 0o777 == 0o600

"""`smsproxy store`: what an operator gets of a store, whole or not, beside a daemon or without one."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from contract.store.store_kit import (
    DELIVERED,
    REJECTED,
    SUBMITTED,
    a_receipt,
    a_result,
    an_intent,
    created,
)

from smsproxy.stores import sqlite_readout
from smsproxy.stores.base import Intent
from smsproxy.stores.sqlite import SqliteStore

Invoke = Callable[..., Result]
NOW = time.time()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "smsproxy.toml"
    secret = "a-secret-of-the-tests-with-more-than-32-octets"
    file.write_text(f'[apps.1]\nsecret = "{secret}"\n[store]\nurl = "sqlite:./store.db"\n')
    return file


def intent(number: int, *, app_id: int = 7, link_id: int = 100, **fields: Any) -> Intent:
    made = an_intent(number, **{"at": NOW - 5000, **fields})
    made.app_id, made.link_id = app_id, link_id
    return made


async def fill(store: SqliteStore) -> None:
    """Delivered, refused in one part of two, and without a result since long."""
    one, two, three = intent(1), intent(2, segments=2, app_id=8, at=NOW - 100), intent(3, at=NOW - 9000)
    three.link_id = 101
    await created(store, one, two, three)
    await store.settle(
        [
            a_result(one, SUBMITTED, "a", at=NOW),
            a_result(two, SUBMITTED, "b", segment_no=1, at=NOW),
            a_result(two, REJECTED, segment_no=2, reason="ESME_RINVDSTADR", at=NOW),
        ]
    )
    await store.receive([a_receipt("a", DELIVERED, at=NOW + 0.25)])


def filled(folder: Path, fill: Callable[[SqliteStore], Any] = fill) -> Path:
    async def run() -> None:
        store = SqliteStore(folder / "store.db", retention_s=1e6)
        await store.open()
        await fill(store)
        await store.close()

    asyncio.run(run())
    return folder / "store.db"


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_an_export_has_a_line_for_each_message_with_all_that_is_known(
    invoke: Invoke, config: Path, tmp_path: Path
) -> None:
    filled(tmp_path)
    one, two, three = lines(invoke("store", "export", "--config", config))
    assert one == {
        "message_id": "00000000-0000-0000-0000-000000000001",
        "app_id": 7,
        "link_id": 100,
        "account": "me@smsc:2775",
        "transaction_id": "tx-1",
        "task_id": 55,
        "client_sent_at": 1234,
        "sent_at": round(NOW - 5000, 3),
        "updated_at": round(NOW + 0.25, 3),
        "status": "DELIVERED",
        "segments": [
            {
                "segment_no": 1,
                "state": "DELIVERED",
                "smsc_id": "a",
                "reason": "",
                "updated_at": round(NOW + 0.25, 3),
            }
        ],
    }
    assert [(part["state"], part["smsc_id"], part["reason"]) for part in two["segments"]] == [
        ("submitted", "b", ""),
        ("REJECTED", "", "ESME_RINVDSTADR"),
    ]
    assert two["status"] == "REJECTED"
    assert (three["status"], three["account"]) == ("unknown", "")


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (["--status", "DELIVERED"], [1]),
        (["--status", "delivered", "--status", "unknown"], [1, 3]),
        (["--app", 8], [2]),
        (["--link", 101], [3]),
        (["--since", "1h"], [2]),
        (["--since", "1d"], [1, 2, 3]),
        (["--since", "2026-01-01"], [1, 2, 3]),
        (["--since", "2999-01-01T00:00+05:00"], []),
        (["--app", 7, "--link", 100], [1]),
    ],
)
def test_an_export_gives_what_was_asked_for(
    invoke: Invoke, config: Path, tmp_path: Path, filters: list[Any], numbers: list[int]
) -> None:
    filled(tmp_path)
    found = lines(invoke("store", "export", "--config", config, *filters))
    assert [int(line["transaction_id"].removeprefix("tx-")) for line in found] == numbers


def test_a_time_that_is_none_is_a_wrong_command_line(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    filled(tmp_path)
    result = invoke("store", "export", "--config", config, "--since", "yesterday")
    assert result.exit_code == 2
    assert "neither a time like 12h" in result.stderr


def test_an_export_to_a_file_is_the_owners_and_counts(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    filled(tmp_path)
    output = tmp_path / "out.jsonl"
    result = invoke("store", "export", "--config", config, "--output", output)
    assert result.stdout == f"{output}: 3 messages\n"
    assert len(output.read_text().splitlines()) == 3
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    result = invoke("store", "export", "--config", config, "--output", output, "--json", "--app", 8)
    assert json.loads(result.stdout) == {"file": str(output), "messages": 1}
    assert len(output.read_text().splitlines()) == 1
    assert [file.name for file in tmp_path.glob("*.part")] == []


def test_an_export_reads_page_by_page_and_gives_each_message_once(
    invoke: Invoke, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_readout, "PAGE", 7)

    async def many(store: SqliteStore) -> None:
        for start in range(0, 100, 10):
            await created(store, *(intent(n + 1, segments=n % 3 + 1) for n in range(start, start + 10)))

    filled(tmp_path, many)
    found = lines(invoke("store", "export", "--config", config))
    assert [int(line["message_id"][-4:], 16) for line in found] == list(range(1, 101))
    assert [len(line["segments"]) for line in found] == [n % 3 + 1 for n in range(100)]


async def test_an_export_beside_the_writer_tells_what_was_there_when_it_began(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", retention_s=1e6)
    await store.open()
    await created(store, *(intent(n) for n in range(1, 1501)))
    readout = sqlite_readout.SqliteReadout(tmp_path / "store.db")
    records = readout.records(sqlite_readout.Wanted())
    first = next(records)
    await created(store, intent(9999))
    await store.settle([a_result(intent_of(1500, 1500 + (1 << 40) - 1), SUBMITTED, "late", at=NOW)])
    rest = list(records)
    assert (first.record.transaction_id, len(rest)) == ("tx-1", 1499)
    assert rest[-1].record.smsc_ids == ("late",)
    readout.close()
    await store.close()


def intent_of(number: int, row: int) -> Intent:
    made = intent(number)
    made.generation = row
    return made


@pytest.mark.parametrize("command", ["export", "check"])
def test_a_store_in_memory_is_refused_in_one_line(
    invoke: Invoke, config: Path, tmp_path: Path, command: str
) -> None:
    config.write_text(config.read_text().replace("sqlite:./store.db", "memory:"))
    result = invoke("store", command, "--config", config)
    assert result.exit_code == 2
    assert result.stderr == "smsproxy: store.url: memory: cannot be read from outside the daemon\n"


@pytest.mark.parametrize("command", ["export", "check"])
def test_a_store_that_is_not_there_is_named_and_not_made(
    invoke: Invoke, config: Path, tmp_path: Path, command: str
) -> None:
    result = invoke("store", command, "--config", config)
    assert result.exit_code == 2
    assert result.stderr == f"smsproxy: {tmp_path}/store.db: no such file or directory\n"
    assert [file.name for file in tmp_path.iterdir()] == ["smsproxy.toml"]


def test_a_file_that_is_no_store_cannot_be_exported(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("CREATE TABLE other (a)")
        connection.commit()
    result = invoke("store", "export", "--config", config)
    assert result.exit_code == 2
    assert result.stderr.endswith("not a smsproxy store (other tables are in it)\n")


@pytest.mark.parametrize("name", ["export", "check"])
def test_each_part_of_store_takes_a_configuration_and_tells_its_exit_codes(invoke: Invoke, name: str) -> None:
    shown = invoke("store", name, "--help")
    assert shown.exit_code == 0
    assert "--config FILE" in shown.stdout
    assert "Exit codes: 0 " in shown.stdout
    assert f"  {name} " in invoke("store", "--help").stdout


# --- check ------------------------------------------------------------------------------------------------


def test_a_sound_store_is_told_with_its_counts(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    path = filled(tmp_path)
    for full in ([], ["--full"]):
        result = invoke("store", "check", "--config", config, *full)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("sound\n")
    said = json.loads(invoke("store", "check", "--config", config, "--json").stdout)
    assert (said["ok"], said["findings"], said["messages"]) == (True, [], 3)
    assert said["statuses"] == {"DELIVERED": 1, "REJECTED": 1, "unknown": 1}
    assert said["file_bytes"] == path.stat().st_size
    assert (said["schema_version"], said["life"]) == (2, 1)


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("DELETE FROM messages WHERE row & 0xff = 1", "2 segments without their message"),
        (
            "UPDATE meta SET value = (SELECT max(row) FROM messages) + 1 WHERE key = 'low_water'",
            "1 messages below the low-water mark without a result: a restart does not find them",
        ),
        (
            "UPDATE meta SET value = 0 WHERE key = 'life'",
            "3 messages with a row number that is not given yet: it would be given twice",
        ),
        (
            "UPDATE segments SET state = 9 WHERE smsc_id = 'a'",
            "1 segments with a state that no release wrote",
        ),
        ("DELETE FROM accounts", "2 segments with an SMSC id of no account"),
        ("UPDATE messages SET segments = 0 WHERE app_id = 8", "1 messages with fields that no release wrote"),
        ("DROP TABLE parked", "not a smsproxy store (other tables are in it)"),
        (
            "UPDATE meta SET value = 3 WHERE key = 'schema_version'",
            "schema version 3, this release knows 2",
        ),
        (
            "INSERT INTO meta VALUES ('ids_from', 1 << 60)",
            "3 messages that their id does not lead to: a repeat would be sent again",
        ),
    ],
)
def test_what_is_wrong_is_named_and_the_code_is_1(
    invoke: Invoke, config: Path, tmp_path: Path, statement: str, finding: str
) -> None:
    with closing(sqlite3.connect(filled(tmp_path))) as connection:
        connection.execute(statement)
        connection.commit()
    result = invoke("store", "check", "--config", config)
    assert result.exit_code == 1
    assert f"smsproxy: {tmp_path}/store.db: {finding}\n" in result.stderr
    assert result.stdout.startswith("not sound\n")


def test_damaged_pages_are_found(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    path = filled(tmp_path)
    octets = path.read_bytes()
    path.write_bytes(octets[:8192] + b"\xff" * 4096 + octets[12288:])
    result = invoke("store", "check", "--config", config, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    path.write_bytes(b"number,name\n" * 1000)
    result = invoke("store", "check", "--config", config)
    assert result.exit_code == 1
    assert result.stderr == f"smsproxy: {path}: file is not a database\n"

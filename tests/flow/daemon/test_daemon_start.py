"""What an operator sees when the daemon cannot start: one clear line, exit code 2, no traceback."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.flow.kit import Config, Process


def _refused(config: Path) -> str:
    process = Process(["run", "--config", str(config)])
    assert process.process.wait(timeout=20) == 2
    process.stop()
    assert not process.count_lines("Traceback"), process.lines
    (line,) = [line for line in process.lines if not line.startswith("{")]
    return line


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = _refused(Config(tmp_path, 1, {"server": {"listen": f"127.0.0.1:{port}"}}).write())
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


def test_a_taken_http_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = _refused(Config(tmp_path, 1, {"http": {"listen": f"127.0.0.1:{port}"}}).write())
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    line = _refused(tmp_path / "nowhere.toml")
    assert "nowhere.toml" in line


def test_an_unwritable_store_directory_is_named(tmp_path: Path) -> None:
    folder = Path("/sys/kernel")  # nobody may write there, root included
    line = _refused(Config(tmp_path, 1, {"store": {"url": f"sqlite://{folder}/store.db"}}).write())
    assert f"{folder}/store.db: permission denied" in line


def test_a_store_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = _refused(Config(tmp_path, 1, {"store": {"url": f"sqlite://{tmp_path}/file/store.db"}}).write())
    assert f"{tmp_path}/file/store.db" in line


def test_a_store_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database" * 1000)
    line = _refused(Config(tmp_path, 1).write())
    assert "store.db" in line


def test_every_fault_of_a_bad_configuration_is_told_at_once(tmp_path: Path) -> None:
    config = Config(tmp_path, 1, {"server": {"stream_window": 0}, "pools.1000": {"members": [{"link": 7}]}})
    process = Process(["run", "--config", str(config.write())])
    assert process.process.wait(timeout=20) == 2
    process.stop()
    assert process.count_lines("server.stream_window") == 1
    assert process.count_lines("pools.1000.members.0.link") == 1


def test_an_aerospike_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    line = _refused(Config(tmp_path, 1, {"store": {"url": f"aerospike://127.0.0.1:{port}/proxy"}}).write())
    assert line.endswith(f"store: aerospike 127.0.0.1:{port}: no node answers (code -10)")

"""The commands as people and scripts call them: output, errors on one line, exit codes."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path

import jwt
import pytest
from cli_kit import SECRET, Invoke, write_config
from fake_daemon import FakeDaemon, refused
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from smsproxy import __version__
from smsproxy.auth.jwt import JwtAuthenticator
from smsproxy.cli.daemon import dial_address
from smsproxy.cli.main import COMMANDS
from smsproxy.domain.endpoint import Endpoint
from smsproxy.rpc.gen.sms.v1 import SmsStatusResponse
from smsproxy.settings import AppSettings, Secret

ONE = ["--esme", "1000", "--from", "MYBRAND", "--to", "998901234567", "--text", "Hello"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def lines_of(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


# -- the program -------------------------------------------------------------------------------------------


def test_the_program_tells_its_version_as_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smsproxy", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == f"smsproxy {__version__}\n"


def test_a_missing_configuration_is_one_line_and_exit_code_2_as_a_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smsproxy", "check-config", "--config", tmp_path / "none.toml"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{tmp_path}/none.toml: no such file\n"


def test_the_overview_names_every_command_and_the_exit_codes(invoke: Invoke) -> None:
    shown = invoke("--help").stdout
    for name, entry in COMMANDS.items():
        assert f"  {name} " in shown
        assert entry.help in shown
    assert "Exit codes: 0 done; 1 the product said no; 2 wrong" in shown


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "store"])
def test_every_command_says_what_it_does_takes_a_configuration_and_tells_its_exit_codes(
    invoke: Invoke, name: str
) -> None:
    shown = invoke(name, *(["new"] if name == "app" else []), "--help")
    assert shown.exit_code == 0
    assert COMMANDS[name].help.removesuffix(".") in shown.stdout
    command = getattr(importlib.import_module(COMMANDS[name].module), COMMANDS[name].attribute)
    assert command.name == name
    for words in [[name, one] for one in getattr(command, "commands", ())] or [[name]]:
        shown = invoke(*words, "--help")
        assert "--config FILE" in shown.stdout
        assert "Exit codes: 0 " in shown.stdout


def test_an_unknown_command_is_a_usage_error(invoke: Invoke) -> None:
    done = invoke("sned")
    assert done.exit_code == 2
    assert "No such command 'sned'" in done.stderr


def test_the_configuration_is_named_by_the_environment_when_no_option_does(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSPROXY_CONFIG", str(write_config(tmp_path)))
    assert invoke("check-config").exit_code == 0


# -- check-config ------------------------------------------------------------------------------------------


def test_a_good_configuration_is_shown_without_its_secrets(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("check-config", "--config", write_config(tmp_path))
    assert done.exit_code == 0
    assert 'apps.1.secret = "********"' in done.stdout.splitlines()
    assert 'links.100.system_id = "smsproxy"' in done.stdout.splitlines()
    assert "server.drain_s = 30" in done.stdout.splitlines()
    assert SECRET not in done.output
    assert "secret12" not in done.output
    assert all(line.startswith(f"warning: {tmp_path}/smsproxy.toml: ") for line in done.stderr.splitlines())
    assert "apps.1.secret" in done.stderr


def test_a_good_configuration_is_one_object_for_machines(invoke: Invoke, tmp_path: Path) -> None:
    (told,) = lines_of(invoke("check-config", "--json", "--config", write_config(tmp_path)).stdout)
    assert told["ok"] is True
    assert told["files"] == [str(tmp_path / "smsproxy.toml")]
    assert told["settings"]["links"]["100"]["password"] == "********"


def test_every_fault_is_a_line_with_its_file_and_its_key(invoke: Invoke, tmp_path: Path) -> None:
    config = write_config(tmp_path, more='[limits]\nmax_wait_ms = "x"\n[links.102]\nhost = ""\nprot = 1\n')
    done = invoke("check-config", "--config", config)
    assert (done.exit_code, done.stdout) == (2, "")
    keys = {line.split(": ")[1] for line in done.stderr.splitlines()}
    assert {"limits.max_wait_ms", "links.102.prot", "links.102.system_id"} <= keys
    assert all(line.startswith(f"{config}: ") for line in done.stderr.splitlines())
    machine = invoke("check-config", "--json", "--config", config)
    (told,) = lines_of(machine.stdout)
    assert machine.exit_code == 2
    assert {fault["key"] for fault in told["faults"]} == keys


# -- token -------------------------------------------------------------------------------------------------


def test_a_token_stands_alone_on_stdout_and_opens_the_door(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("token", "--app", 1, "--config", write_config(tmp_path))
    assert done.exit_code == 0
    assert done.stdout.count("\n") == 1
    doors = JwtAuthenticator({1: AppSettings(secret=Secret(SECRET))})
    assert doors.authenticate(f"Bearer {done.stdout.strip()}", "1", time.time()).app_id == 1


@pytest.mark.parametrize(("ttl", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800)])
def test_a_token_lives_as_long_as_it_was_asked_for(
    invoke: Invoke, tmp_path: Path, ttl: str, seconds: int
) -> None:
    (told,) = lines_of(invoke("token", "--json", "--ttl", ttl, "--config", write_config(tmp_path)).stdout)
    expires_at = told["expires_at"]
    assert isinstance(expires_at, int)
    assert 0 <= expires_at - seconds - time.time() + 5 < 7
    claims = jwt.decode(str(told["token"]), options={"verify_signature": False})
    assert (claims["exp"] - claims["iat"], claims["exp"]) == (seconds, expires_at)


@pytest.mark.parametrize("ttl", ["", "12", "h", "0s", "-1h", "1.5h", "12 h", "99999999999d"])
def test_a_time_that_is_none_is_a_usage_error(invoke: Invoke, tmp_path: Path, ttl: str) -> None:
    done = invoke("token", "--ttl", ttl, "--config", write_config(tmp_path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is not a time like 90s, 15m, 12h or 7d" in done.stderr


def test_a_token_for_ten_years_and_more_is_refused_in_one_line(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("token", "--ttl", "99999d", "--config", write_config(tmp_path))
    assert done.exit_code == 2
    assert done.stderr.startswith("smsproxy: a token lives for ")
    assert done.stderr.count("\n") == 1


def test_an_app_that_is_not_configured_is_told_with_those_that_are(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("token", "--app", 7, "--config", write_config(tmp_path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"smsproxy: app 7 is not in {tmp_path}/smsproxy.toml (it has: 1)\n"


def test_of_several_apps_one_must_be_named(invoke: Invoke, tmp_path: Path) -> None:
    config = write_config(tmp_path, more=f'[apps.2]\nsecret = "{SECRET}"\n')
    assert (
        "which app? name one with --app (the configuration has: 1, 2)"
        in invoke("token", "--config", config).stderr
    )


# -- send, one message -------------------------------------------------------------------------------------


def test_a_message_is_sent_and_its_ids_are_shown(invoke: Invoke, config: Path, daemon: FakeDaemon) -> None:
    done = invoke(
        "send", "--config", config, *ONE, "--strategy", "cp1", "--transaction-id", "t-1", "--task-id", 5
    )
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "submitted"
    assert "  message_id      id-of-t-1" in done.stdout.splitlines()
    (request,) = daemon.received
    assert (request.app_id, request.esme, request.saddr, request.daddr) == (
        1,
        1000,
        "MYBRAND",
        "998901234567",
    )
    assert (request.message, request.strategy, request.transaction_id, request.task_id) == (
        "Hello",
        "cp1",
        "t-1",
        5,
    )
    assert request.ston is None


def test_a_refused_message_exits_with_1_and_tells_why(
    invoke: Invoke, config: Path, daemon: FakeDaemon
) -> None:
    daemon.answering = lambda request: refused(request, "daily_cp", "one a day")
    done = invoke("send", "--config", config, *ONE, "--json")
    assert done.exit_code == 1
    (told,) = lines_of(done.stdout)
    assert (told["success"], told["status"], told["error"]) == (False, "daily_cp", "one a day")
    assert done.stderr == "smsproxy: one a day\n"


def test_why_a_message_was_refused_is_told_people_on_stderr_and_once(
    invoke: Invoke, config: Path, daemon: FakeDaemon
) -> None:
    daemon.answering = lambda request: refused(request, "daily_cp", "one a day")
    done = invoke("send", "--config", config, *ONE)
    assert (done.exit_code, done.stderr) == (1, "smsproxy: one a day\n")
    assert done.stdout.startswith("daily_cp\n")
    assert "one a day" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--esme", "1"], "--from, --to, --text is missing (or --file)"),
        ([*ONE, "--file", "x.csv"], "--to is for one message, not for --file"),
        (["--file", "x.csv", "--wait", "1"], "--wait is for one message, not for --file"),
        (["--esme", "0"], "Invalid value for '--esme'"),
    ],
)
def test_a_wrong_command_line_is_told_before_anything_is_sent(
    invoke: Invoke, config: Path, daemon: FakeDaemon, arguments: list[str], complaint: str
) -> None:
    done = invoke("send", "--config", config, *arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert daemon.received == []


def test_a_daemon_that_is_not_there_is_one_line_and_exit_code_2(invoke: Invoke, tmp_path: Path) -> None:
    port = free_port()
    done = invoke("send", "--config", write_config(tmp_path, port), *ONE)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"smsproxy: 127.0.0.1:{port}: connection refused\n"


def test_a_port_that_speaks_no_grpc_is_one_line_and_exit_code_2(
    invoke: Invoke, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Nack(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(bytes.fromhex("00000010800000000000000300000000"))  # an SMSC's generic_nack

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Nack) as server:
        threading.Thread(target=server.serve_forever).start()
        port = server.server_address[1]
        done = invoke("send", "--config", write_config(tmp_path, port), *ONE)
        server.shutdown()
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"smsproxy: 127.0.0.1:{port}: the connection broke")
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_a_text_that_no_request_can_hold_is_one_line_and_exit_code_2(
    invoke: Invoke, config: Path, daemon: FakeDaemon
) -> None:
    done = invoke("send", "--config", config, *ONE, "--text", "y" * 65025)
    assert (done.exit_code, done.stderr) == (2, "smsproxy: --text: has more than 65024 octets\n")
    assert daemon.received == []


def test_a_token_the_daemon_does_not_take_is_one_line_and_exit_code_2(
    invoke: Invoke, config: Path, daemon: FakeDaemon
) -> None:
    daemon.metadata_error = GRPCError(Status.UNAUTHENTICATED, "authentication failed")
    done = invoke("send", "--config", config, *ONE)
    assert done.exit_code == 2
    assert done.stderr == "smsproxy: authentication failed\n"


def an_info(status: str, *parts: str) -> SmsStatusResponse:
    return SmsStatusResponse(
        message_id="m", status=status, mode="single", sent_at=1_700_000_000, updated_at=1_700_000_001,
        parts={str(number): part for number, part in enumerate(parts, 1)},
        reasons={"1": "UNDELIV err:045"} if status == "UNDELIVERABLE" else {},
    )  # fmt: skip


def test_waiting_shows_every_change_until_the_message_is_delivered(
    invoke: Invoke, config: Path, daemon: FakeDaemon
) -> None:
    daemon.infos = [
        an_info("submitted", "submitted", "submitted"),
        an_info("submitted", "submitted", "submitted"),
        an_info("submitted", "DELIVERED", "submitted"),
        an_info("DELIVERED", "DELIVERED", "DELIVERED"),
    ]
    done = invoke("send", "--config", config, *ONE, "--wait", 5, "--json")
    assert done.exit_code == 0
    _, *infos = lines_of(done.stdout)
    assert [info["parts"] for info in infos] == [
        {"1": "submitted", "2": "submitted"},
        {"1": "DELIVERED", "2": "submitted"},
        {"1": "DELIVERED", "2": "DELIVERED"},
    ]


def test_waiting_ends_with_1_when_the_message_is_not_delivered(
    invoke: Invoke, config: Path, daemon: FakeDaemon
) -> None:
    daemon.infos = [an_info("UNDELIVERABLE", "UNDELIVERABLE")]
    done = invoke("send", "--config", config, *ONE, "--wait", 5)
    assert done.exit_code == 1
    assert "UNDELIVERABLE UNDELIV err:045" in done.stdout


def test_waiting_ends_with_1_when_there_is_no_final_status_in_time(
    invoke: Invoke, config: Path, daemon: FakeDaemon
) -> None:
    daemon.infos = [an_info("submitted", "submitted")]
    done = invoke("send", "--config", config, *ONE, "--wait", 0)
    assert done.exit_code == 1
    assert done.stderr == "smsproxy: no final status within 0 s\n"


def test_a_refused_message_is_not_waited_for(invoke: Invoke, config: Path, daemon: FakeDaemon) -> None:
    daemon.answering = lambda request: refused(request, "blacklist")
    assert invoke("send", "--config", config, *ONE, "--wait", 60).exit_code == 1


# -- info and probe ----------------------------------------------------------------------------------------


def test_info_shows_the_state_of_every_part(invoke: Invoke, config: Path, daemon: FakeDaemon) -> None:
    daemon.infos = [an_info("UNDELIVERABLE", "UNDELIVERABLE", "DELIVERED")]
    done = invoke("info", "m", "--esme", 100, "--config", config)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "UNDELIVERABLE",
        "  message_id  m",
        "  submitted   2023-11-14 22:13:20+00:00",
        "  changed     2023-11-14 22:13:21+00:00",
        "  part 1      UNDELIVERABLE UNDELIV err:045",
        "  part 2      DELIVERED",
    ]


def test_info_about_a_message_that_is_not_known_exits_with_1(
    invoke: Invoke, config: Path, daemon: FakeDaemon
) -> None:
    daemon.infos = [SmsStatusResponse(error="message not found")]
    done = invoke("info", "m", "--esme", 100, "--config", config, "--json")
    assert done.exit_code == 1
    assert lines_of(done.stdout) == [{"message_id": "m", "error": "message not found"}]
    assert done.stderr == "smsproxy: message not found\n"


@pytest.mark.parametrize(("esme", "code", "word"), [(100, 0, "bound"), (101, 1, "not bound")])
def test_probe_answers_with_its_exit_code(
    invoke: Invoke, config: Path, esme: int, code: int, word: str
) -> None:
    done = invoke("probe", "--esme", esme, "--config", config)
    assert done.exit_code == code
    assert done.stdout.splitlines()[0] == word
    machine = invoke("probe", "--esme", esme, "--config", config, "--json")
    assert lines_of(machine.stdout) == [{"esme": esme, "bound": not code, "system_id": "SMSC-1"}]


def test_probe_exits_with_2_for_a_link_that_is_not_there_and_for_a_daemon_that_is_not(
    invoke: Invoke, config: Path, tmp_path: Path
) -> None:
    unknown = invoke("probe", "--esme", 9, "--config", config)
    assert (unknown.exit_code, unknown.stderr) == (2, "smsproxy: esme: no link or pool 9\n")
    gone = invoke("probe", "--esme", 100, "--config", config, "--address", f"127.0.0.1:{free_port()}")
    assert gone.exit_code == 2
    wrong = invoke("probe", "--esme", 100, "--config", config, "--address", "nowhere")
    assert wrong.exit_code == 2
    assert "--address: 'nowhere': must be host:port" in wrong.stderr


def test_probe_calls_as_an_app_that_may_use_the_link(
    invoke: Invoke, config: Path, tmp_path: Path, daemon: FakeDaemon
) -> None:
    config.write_text(config.read_text().replace('name = "demo"', "esmes = [101]"))
    done = invoke("probe", "--esme", 100, "--config", config)
    assert done.exit_code == 2
    assert "no app of the configuration has a secret and may use esme 100" in done.stderr


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (Endpoint("127.0.0.1", 5), "127.0.0.1:5"),
        (Endpoint("0.0.0.0", 5), "127.0.0.1:5"),
        (Endpoint("::", 5), "[::1]:5"),
        (Endpoint("fe80::1", 5), "[fe80::1]:5"),
        (Endpoint("gw.example", 5), "gw.example:5"),
        (Endpoint(unix_path="/run/x"), "unix:/run/x"),
    ],
)
def test_a_daemon_is_dialled_where_it_listens(listen: Endpoint, address: str) -> None:
    assert dial_address(listen) == address


def test_a_port_that_only_the_daemon_knows_must_be_named(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("probe", "--esme", 100, "--config", write_config(tmp_path, port=0))
    assert done.exit_code == 2
    assert "name the daemon with --address" in done.stderr


# -- run and smsc ------------------------------------------------------------------------------------------


def test_run_takes_a_broken_configuration_for_a_reason_not_to_start(invoke: Invoke, tmp_path: Path) -> None:
    config = write_config(tmp_path, more="[nonsense]\nx = 1\n")
    done = invoke("run", "--config", config)
    assert done.exit_code == 2
    assert done.stderr == f"{config}: nonsense: unknown key\n"


def test_run_hands_the_settings_over_and_exits_with_what_the_daemon_says(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("smsproxy.cli.serve")
    seen: list[object] = []

    def daemon(settings: object, path: Path) -> int:
        seen.extend([settings, path])
        return 1

    monkeypatch.setattr(module, "run_daemon", daemon)
    config = write_config(tmp_path)
    assert invoke("run", "--config", config).exit_code == 1
    assert seen[1] == config


def test_the_simulator_takes_a_script_without_faults_only(invoke: Invoke, tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text("answer_delay_s = -1\nnonsense = 1\n")
    done = invoke("smsc", "--script", script)
    assert done.exit_code == 2
    assert done.stderr.startswith("smsproxy: ")
    assert "answer_delay_s" in done.stderr
    assert "nonsense" in done.stderr


def test_the_simulator_tells_a_taken_port_in_one_line(invoke: Invoke) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = invoke("smsc", "--port", port)
    assert done.exit_code == 2
    assert done.stderr == f"smsproxy: 127.0.0.1:{port}: Address already in use\n"


def test_the_simulator_stands_in_for_a_link_that_there_is(invoke: Invoke, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = write_config(tmp_path, smsc_port=taken.getsockname()[1])
        done = invoke("smsc", "--config", config, "--link", 100)
        assert f"127.0.0.1:{taken.getsockname()[1]}: " in done.stderr
    unknown = invoke("smsc", "--config", config, "--link", 7)
    assert (unknown.exit_code, unknown.stderr) == (2, "smsproxy: the configuration has no link 7\n")


def test_the_simulator_listens_until_sigterm_as_a_process(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "smsproxy", "smsc", "--port", "0", "--truth", tmp_path / "truth.jsonl"],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    with running:
        assert running.stdout is not None
        first = running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        rest = running.stdout.read()
    assert running.returncode == 0
    assert first.startswith("listening on 127.0.0.1:")
    assert "counted:" in rest

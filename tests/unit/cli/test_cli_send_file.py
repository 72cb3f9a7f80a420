"""`smsproxy send --file` against a daemon on a real socket: runs, second runs, runs that were cut short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_kit import Invoke
from fake_daemon import CutConnectionError, FakeDaemon, accepted, refused
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from smsproxy.cli import campaign, send_file
from smsproxy.cli.campaign_file import CampaignFile
from smsproxy.rpc.gen.sms.v1 import SmsRequest, SmsResponse

ROWS = 40


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    path = tmp_path / "c.csv"
    path.write_text("to,text\n" + "".join(f"9989{number:03},text {number}\n" for number in range(ROWS)))
    return path


def arguments(config: Path, csv_file: Path) -> list[str]:
    return ["send", "--config", str(config), "--file", str(csv_file), "--esme", "1000", "--from", "MYBRAND"]


def received_texts(daemon: FakeDaemon) -> list[str]:
    return [request.message for request in daemon.received]


def test_a_campaign_goes_over_one_stream_in_order_and_is_summed_up(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    done = invoke(*arguments(config, csv_file))
    assert done.exit_code == 0
    assert len(daemon.streams) == 1
    assert received_texts(daemon) == [f"text {number}" for number in range(ROWS)]
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{csv_file}: {ROWS} rows, ")
    assert second == f"  accepted     {ROWS}"


def test_a_second_run_sends_only_what_was_not_accepted(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    daemon.answering = lambda request: (
        refused(request, "daily_cp", "one a day") if request.message == "text 7" else accepted(request)
    )
    done = invoke(*arguments(config, csv_file))
    assert done.exit_code == 1
    assert "  daily_cp     1  one a day" in done.stdout.splitlines()
    first_id = daemon.received[7].transaction_id
    daemon.received.clear()
    daemon.answering = accepted
    again = invoke(*arguments(config, csv_file))
    assert again.exit_code == 0
    assert received_texts(daemon) == ["text 7"]
    assert daemon.received[0].transaction_id == first_id
    assert f"  passed over  {ROWS - 1}, accepted by an earlier run" in again.stdout.splitlines()


def test_refusals_are_summed_up_by_status_and_reason(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {"text 7": "too long", "text 8": "no number", "text 9": "too long", "text 10": "no text"}
    daemon.answering = lambda request: (
        refused(request, "invalid", reasons[request.message])
        if request.message in reasons
        else accepted(request)
    )
    told = invoke(*arguments(config, csv_file)).stdout.splitlines()
    assert told[2:] == [
        "  invalid      2  too long",
        "  invalid      1  no number",
        "  invalid      1  no text",
    ]
    monkeypatch.setattr(send_file, "SHOWN_REASONS", 1)
    told = invoke(*arguments(config, csv_file)).stdout.splitlines()
    assert told[3:] == [
        "  invalid      2  too long",
        "  refused      2  for other reasons; --json tells each row's",
    ]


def test_reasons_beyond_the_bound_are_counted_by_status(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "MAX_REASONS", 2)
    daemon.answering = lambda request: refused(request, "invalid", f"because of {request.message}")
    told = invoke(*arguments(config, csv_file)).stdout.splitlines()
    assert told[2:] == [
        f"  invalid      {ROWS - 2}",
        "  invalid      1  because of text 0",
        "  invalid      1  because of text 1",
    ]


def test_a_third_run_has_nothing_to_do_and_needs_no_daemon(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    invoke(*arguments(config, csv_file))
    done = invoke(*arguments(config, csv_file), "--address", "127.0.0.1:1")
    assert done.exit_code == 0
    assert len(daemon.received) == ROWS


def test_for_machines_every_answer_and_the_sum_are_objects(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    done = invoke(*arguments(config, csv_file), "--json")
    *answers, total = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["line"] for answer in answers] == list(range(2, ROWS + 2))
    assert {answer["status"] for answer in answers} == {"submitted"}
    rate = total.pop("rate_per_s")
    assert rate > 0
    assert total == {"rows": ROWS, "already": 0, "accepted": ROWS, "repeated": 0, "refused": {}}


def test_a_state_file_that_was_lost_in_a_crash_doubles_nothing(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    """Accepted, but the note of it never reached the disk: the next run asks with the same ids."""
    invoke(*arguments(config, csv_file))
    state = csv_file.with_name("c.csv.sent")
    state.write_text(state.read_text().splitlines(keepends=True)[0])
    first = [request.transaction_id for request in daemon.received]
    daemon.received.clear()
    daemon.answering = lambda request: accepted(request, repeated=True)
    done = invoke(*arguments(config, csv_file))
    assert [request.transaction_id for request in daemon.received] == first
    assert f"  accepted     {ROWS}, {ROWS} of them known from before" in done.stdout.splitlines()


def test_a_campaign_that_breaks_off_keeps_what_was_accepted(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    def answering(request: SmsRequest) -> SmsResponse:
        if request.message == "text 25":
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "message too large")
        return accepted(request)

    daemon.answering = answering
    done = invoke(*arguments(config, csv_file))
    assert done.exit_code == 2
    assert done.stderr == "smsproxy: message too large\n"
    assert "  accepted     25" in done.stdout.splitlines()
    assert "  not ended    15, the same command again goes on with them" in done.stdout.splitlines()
    daemon.received.clear()
    daemon.answering = accepted
    assert invoke(*arguments(config, csv_file)).exit_code == 0
    assert received_texts(daemon) == [f"text {number}" for number in range(25, ROWS)]


def test_a_connection_that_breaks_is_nobodys_business(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    def answering(request: SmsRequest) -> SmsResponse:
        if request.message == "text 9" and len(daemon.streams) == 1:
            raise CutConnectionError
        return accepted(request)

    daemon.answering = answering
    assert invoke(*arguments(config, csv_file)).exit_code == 0
    assert len(daemon.streams) == 2


def test_what_is_over_a_limit_is_fed_again_until_it_is_accepted(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    seen: set[str] = set()

    def answering(request: SmsRequest) -> SmsResponse:
        if request.message in seen:
            return accepted(request)
        seen.add(request.message)
        return refused(request, "rate_limited", retry_after_ms=1)

    daemon.answering = answering
    done = invoke(*arguments(config, csv_file))
    assert done.exit_code == 0
    assert f"  accepted     {ROWS}" in done.stdout.splitlines()
    assert len(daemon.received) == 2 * ROWS


def test_what_cannot_be_taken_for_longer_is_left_to_the_next_run(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "UNAVAILABLE_PAUSE_S", 0.001)
    daemon.answering = lambda request: refused(request, "unavailable", "no bound link")
    done = invoke(*arguments(config, csv_file))
    assert done.exit_code == 1
    assert f"  unavailable  {ROWS}  no bound link" in done.stdout.splitlines()
    assert len(daemon.received) == ROWS * campaign.TRIES["unavailable"]


def test_faults_of_the_file_are_told_before_anything_is_sent(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send_file, "SHOWN_FAULTS", 2)
    csv_file.write_text("to,text\n998901,Hi\n,a\n,b\n,c\n,d\n")
    done = invoke(*arguments(config, csv_file))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{csv_file}: line 3: no number: column to",
        f"{csv_file}: line 4: no number: column to",
        f"{csv_file}: ... and 2 more",
    ]
    assert daemon.received == []
    assert not csv_file.with_name("c.csv.sent").exists()


@pytest.mark.parametrize(("content", "complaint"), [("", "has no rows"), ("to,text\n", "has no rows")])
def test_a_file_without_rows_is_a_mistake(
    invoke: Invoke, config: Path, csv_file: Path, content: str, complaint: str
) -> None:
    csv_file.write_text(content)
    done = invoke(*arguments(config, csv_file))
    assert (done.exit_code, done.stderr) == (2, f"smsproxy: {csv_file}: {complaint}\n")


def test_a_file_that_is_not_there_is_one_line(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    done = invoke(*arguments(config, tmp_path / "none.csv"))
    assert (done.exit_code, done.stderr) == (2, f"smsproxy: {tmp_path}/none.csv: No such file or directory\n")


def test_a_state_of_something_else_is_one_line(invoke: Invoke, config: Path, csv_file: Path) -> None:
    csv_file.with_name("c.csv.sent").write_text("mine\n")
    done = invoke(*arguments(config, csv_file))
    assert (done.exit_code, done.stderr) == (
        2,
        f"smsproxy: {csv_file}.sent: is not the state of a campaign\n",
    )


def test_a_file_that_is_changed_while_it_is_sent_stops_the_run_at_the_fault(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    good = csv_file.read_text()
    checked = send_file._check

    def check_then_change(file: CampaignFile) -> int:
        rows = checked(file)
        csv_file.write_text(good.replace(",text 5\n", ",\n"))
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(send_file, "_check", check_then_change)
        done = invoke(*arguments(config, csv_file))
    assert done.exit_code == 2
    assert done.stderr == f"smsproxy: {csv_file}: line 7: no text: column text, or --text\n"
    assert received_texts(daemon) == [f"text {number}" for number in range(5)]
    assert "  accepted     5" in done.stdout.splitlines()


def test_a_text_larger_than_the_daemon_takes_is_a_fault_of_the_row(
    invoke: Invoke, config: Path, daemon: FakeDaemon, csv_file: Path
) -> None:
    csv_file.write_text(f"998901,{'x' * 65_536}\n")
    done = invoke(*arguments(config, csv_file))
    assert done.exit_code == 2
    assert "line 1: the text has more than 65024 octets" in done.stderr

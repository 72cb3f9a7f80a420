"""The sides of a row: the echo and the pipeline, each a pinned server that is driven round by round.

A round is valid only if every message was answered with success; for the pipeline also if the SMSC got
exactly one submit_sm per segment and every receipt was answered ok. Else BenchError, and there is no
figure.
"""

from __future__ import annotations

import http.client
import signal
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import daemon
from tests.bench.procs import ROOT, BenchError, Child
from tests.bench.rows import Row, aerospike_url
from tests.bench.stored import fill

_START_S = 30.0
_ROUND_S = 180.0
_SETTLE_S = 60.0
_SETTLE_POLL_S = 0.05
_QUIET_S = 5.0
_BINDS_PER_S = 4  # the daemon connects five times a second to one host


@dataclass(frozen=True, slots=True)
class Round:
    """One measured round; `settled_per_s` counts to the last receipt's answer, shares are of a core."""

    messages_per_s: float
    settled_per_s: float
    wall_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    server_cpu_share: float
    load_cpu_us: float
    load_cpu_share: float
    smsc_cpu_share: float
    rss_mib: float
    peak_rss_mib: float
    """Since its start."""


class EchoSide:
    """The grpclib echo: bare, or behind our edge."""

    def __init__(self, row: Row, core: int | None, directory: Path, *, guarded: bool = False) -> None:
        self._row, self._directory = row, directory
        arguments = ["tests.bench.echo", *(["--guarded"] if guarded else [])]
        self._load: list[str] = []
        if row.tls:
            pem = daemon.make_certificate(directory)
            arguments += ["--tls-cert", str(pem), "--tls-key", str(pem.with_suffix(".key"))]
            self._load = ["--tls-ca", str(pem)]
        self._server = Child("echo", arguments, core=core, directory=directory)

    def start(self) -> None:
        self._load += ["--target", self._server.json_line(_START_S)["listening"]]

    def round(self, messages: int, first: int) -> Round:
        return self.measured(messages, first, ())[0]

    def measured(self, messages: int, first: int, more: Sequence[str]) -> tuple[Round, dict[str, Any]]:
        """A round with `more` arguments of the load, and the load's own report."""
        cpu_s = self._server.cpu_s()
        report = run_load(self._row, [*self._load, *more], messages, first, self._directory, self._server)
        cpu_s = self._server.cpu_s() - cpu_s
        return round_of(report, cpu_s, self._server, smsc_cpu_s=0.0), report

    def stop(self) -> None:
        self._server.stop()


class PipelineSide:
    """The daemon with the embedded store, and the SMSC behind it. `stored`: messages in the store before;
    `program`: the module that is the daemon."""

    def __init__(
        self,
        row: Row,
        core: int | None,
        directory: Path,
        redis_url: str,
        *,
        stored: int = 0,
        program: str = "smsproxy",
    ) -> None:
        self._row, self._core, self._directory, self._redis_url = row, core, directory, redis_url
        self._stored = stored
        self._program = program
        self._smsc = Child("smsc", ["tests.bench.fast_smsc", *row.smsc], core=None, directory=directory)
        self.smsc_address = ""
        self._daemon: Child | None = None
        self._load: list[str] = []

    def start(self) -> None:
        """Start the daemon and wait until it is ready and bound."""
        self.smsc_address = self._smsc.json_line(_START_S)["listening"]
        self._daemon, self._load = self.start_daemon(self._directory, self._core, bound_before=0)

    def start_daemon(
        self, directory: Path, core: int | None, *, bound_before: int
    ) -> tuple[Child, list[str]]:
        """A daemon that is ready and bound to our SMSC, and the arguments of a load for it."""
        row, links = self._row, max(self._row.pool, 1)
        places = {"redis": self._redis_url, "aerospike": aerospike_url()}
        files = daemon.prepare(
            directory, self.smsc_address, row.settings, tls=row.tls, places=places, links=links
        )
        if self._stored:
            derived = "--transaction-ids" in row.load
            fill(files.store, self._stored, files.account, derived_ids=derived, kept=ROOT / "build/stored")
        arguments = [self._program, "run", "--config", str(files.config)]
        child = Child("daemon", arguments, core=core, directory=directory)
        child.wait_for(lambda: _is_ready(files.http), _START_S, "is not ready")
        bound, bound_s = bound_before + links, _START_S + links / _BINDS_PER_S
        child.wait_for(lambda: self._smsc_counts()["binds"] >= bound, bound_s, "has not bound")
        (directory / "token").write_text(files.token)
        load = ["--target", files.grpc, "--token", f"@{directory / 'token'}"]
        route = daemon.POOL_ID if row.pool else daemon.LINK_ID
        load += ["--app-id", str(daemon.APP_ID), "--esme", str(route)]
        if files.certificate is not None:
            load += ["--tls-ca", str(files.certificate)]
        return child, load

    def round(self, messages: int, first: int) -> Round:
        return self.measured(messages, first, ())[0]

    def measured(self, messages: int, first: int, more: Sequence[str]) -> tuple[Round, dict[str, Any]]:
        """A round with `more` arguments of the load, and the load's own report."""
        assert self._daemon is not None
        before = self._smsc_counts()
        cpu_s = self._daemon.cpu_s()
        report = run_load(self._row, [*self._load, *more], messages, first, self._directory, self._daemon)
        after = self._settled(before, messages * self._row.segments)
        self._daemon.wait_until_quiet(_QUIET_S)  # its aftermath is its own cost, not the next echo's
        cpu_s = self._daemon.cpu_s() - cpu_s
        smsc_cpu_s = after["cpu_s"] - before["cpu_s"]
        ended_at = after["last_receipt_answered_at"]
        return round_of(report, cpu_s, self._daemon, smsc_cpu_s=smsc_cpu_s, receipts_end_at=ended_at), report

    def stop(self) -> None:
        if self._daemon is not None:
            self._daemon.stop()
        self._smsc.stop()

    def _smsc_counts(self) -> dict[str, Any]:
        self._smsc.signal(signal.SIGUSR1)
        return self._smsc.json_line(_START_S)

    def _settled(self, before: dict[str, Any], segments: int) -> dict[str, Any]:
        """Wait until each receipt is answered. Raises BenchError if that fails or the counts are wrong."""
        deadline = time.monotonic() + _SETTLE_S
        while True:
            after = self._smsc_counts()
            change = {key: after[key] - before[key] for key in after}
            if change["receipts_answered"] >= change["receipts_sent"]:
                break
            if time.monotonic() > deadline:
                raise BenchError(
                    f"receipts are still unanswered {_SETTLE_S:.0f} s after the answers: {change}"
                )
            time.sleep(_SETTLE_POLL_S)
        wanted = {
            "submits": segments,
            "receipts_sent": segments if self._row.receipts else 0,
            "receipts_refused": 0,
            "receipts_lost": 0,
            "bad_pdus": 0,
        }
        wrong = {key: f"{change[key]}, not {count}" for key, count in wanted.items() if change[key] != count}
        if wrong:
            raise BenchError(f"all answers were successes, but the SMSC counted {wrong}")
        return after


Side = EchoSide | PipelineSide


def make_side(
    name: str, row: Row, core: int | None, directory: Path, redis_url: str, *, stored: int = 0
) -> Side:
    """A side by its name in `Row.sides`, with a folder of its own; `stored` as in PipelineSide."""
    folder = directory / name.replace(" ", "-")
    folder.mkdir()
    if name.endswith("echo"):
        return EchoSide(row, core, folder, guarded=name == "guarded echo")
    program = "tests.bench.unfenced" if name == "unfenced" else "smsproxy"
    return PipelineSide(row, core, folder, redis_url, stored=stored, program=program)


def run_load(
    row: Row, target: list[str], messages: int, first: int, directory: Path, server: Child
) -> dict[str, Any]:
    """One load process from start to end; its report. Raises BenchError unless all succeeded."""
    return load_report(start_load(row, target, messages, first, directory), messages, server)


def start_load(row: Row, target: list[str], messages: int, first: int, directory: Path) -> Child:
    """A load process; `load_report` waits for its end."""
    arguments = ["tests.bench.load", "--json", "--messages", str(messages), "--first", str(first)]
    arguments += ["--timeout-s", str(_ROUND_S), *row.load, *target]
    return Child("load", arguments, core=None, directory=directory)


def load_report(load: Child, messages: int, server: Child) -> dict[str, Any]:
    """What it has seen. Raises BenchError unless all succeeded."""
    try:
        report = load.json_line(_ROUND_S + _START_S)
        load.exit_code(_START_S)
    finally:
        load.stop()
    if report["succeeded"] != messages or report["problems"]:
        raise BenchError(
            f"{report['succeeded']} of {messages} messages succeeded, {report['answered']} were answered\n"
            f"failures: {report['failures']}\nproblems: {report['problems']}\n{server.log_end()}"
        )
    return report


def round_of(
    report: dict[str, Any], cpu_s: float, server: Child, *, smsc_cpu_s: float, receipts_end_at: float = 0.0
) -> Round:
    messages, started_at = report["messages"], report["first_send_at"]
    wall_s = report["last_answer_at"] - started_at
    settled_s = max(report["last_answer_at"], receipts_end_at) - started_at
    return Round(
        messages_per_s=round(messages / wall_s),
        settled_per_s=round(messages / settled_s),
        wall_s=round(wall_s, 3),
        p50_ms=report["p50_ms"],
        p99_ms=report["p99_ms"],
        server_cpu_us=round(cpu_s / messages * 1e6, 1),
        server_cpu_share=round(cpu_s / settled_s, 3),
        load_cpu_us=report["cpu_us_per_message"],
        load_cpu_share=round(report["cpu_s"] / wall_s, 3),
        smsc_cpu_share=round(smsc_cpu_s / settled_s, 3),
        rss_mib=server.rss_mib(),
        peak_rss_mib=server.peak_rss_mib(),
    )


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (http.client.HTTPException, OSError):  # not listening yet, or 503
        return False

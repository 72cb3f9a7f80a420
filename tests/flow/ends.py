"""Every end of spec §2.1 and how a caller provokes it: one table for every client that the daemon must suit.

`every_end` starts a simulator and a daemon set up for them. A client turns an `End` into calls (`asked` gives
the requests of one, to a recipient that no other call has), tells what it met as a `Met`, and the judges
compare. Codes are gRPC's words, so that a client of any language can say them.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.rpc import error_details_pb2, status_pb2

from tests.flow.kit import SECRET, Config, Daemon, Smsc, running, token

REFUSED = "99890000"  # the simulator refuses these with ESME_RINVDSTADR
SILENT = "99891111"  # and never answers these
LISTED = "998977777777"
SECOND_SECRET = "another-secret-that-is-long-enough-too"
THIRD_SECRET = "the-third-secret-that-is-long-enough!!"
SECRETS = {1: SECRET, 2: SECOND_SECRET, 3: THIRD_SECRET}
CAMPAIGN = 10_000
"""Messages of the streams that every client sends."""

_recipients = itertools.count(998_330_000_000)


@dataclass(frozen=True)
class End:
    """`requests`: the fields beside those of a fine message, or raw octets; the last one meets the end."""

    name: str
    status: str = ""
    """The word in band; empty where the table has none and the stream ends with `code`."""
    code: str = "OK"
    """Of the unary call."""
    words: str = ""
    """Of the error's text."""
    reason: str = ""
    """Of the ErrorInfo beside the code (docs/errors.md)."""
    requests: tuple[dict[str, Any] | bytes, ...] = ({},)
    app_id: int = 1
    bad_token: bool = False
    deadline_s: float = 30.0
    compression: str = ""
    """What the client compresses with."""
    bearer: str = ""
    """The token, where it is not a fresh one for each call."""
    last_at: float = 0.0
    """Unix time before which the last request does not go out."""

    @property
    def stream_code(self) -> str:
        """How a stream with these requests ends."""
        return "OK" if self.status else self.code

    @property
    def metadata(self) -> dict[str, str]:
        fresh = "garbage" if self.bad_token else token(self.app_id, secret=SECRETS[self.app_id])
        return {"authorization": f"Bearer {self.bearer or fresh}", "app_id": str(self.app_id)}

    @property
    def waits_s(self) -> float:
        """How long the last request has still to wait."""
        return max(0.0, self.last_at - time.time())

    def asked(self) -> list[dict[str, Any] | bytes]:
        """The requests whole, all to one recipient of their own."""
        fine = {"app_id": self.app_id, "esme": 100, "saddr": "MYBRAND", "daddr": str(next(_recipients))}
        fine["message"] = "Hello"
        return [given if isinstance(given, bytes) else {**fine, **given} for given in self.requests]


ENDS = [
    End("accepted", "submitted"),
    End("daily_cp", "daily_cp", requests=({"strategy": "cp1"},) * 2),
    End("weekly_cp", "weekly_cp", requests=({"strategy": "weekly"},) * 2),
    End("duplicate", "duplicate", requests=({"strategy": "cp2"},) * 2),
    End("blacklist", "blacklist", requests=({"strategy": "blacklist", "daddr": LISTED},)),
    End(
        "refused by the SMSC", "rejected", words="segment 1: ESME_RINVDSTADR 0x0000000B",
        requests=({"daddr": REFUSED + "0001"},),
    ),
    End("in doubt", "unknown", words="no answer", requests=({"daddr": SILENT + "0001"},)),
    End("bad field", "invalid", "INVALID_ARGUMENT", "daddr", "INVALID_FIELD", ({"daddr": "12"},)),
    End("unknown strategy", "invalid", "INVALID_ARGUMENT", "strategy", "INVALID_FIELD", ({"strategy": "x"},)),
    End("bad token", "", "UNAUTHENTICATED", "", "UNAUTHENTICATED", bad_token=True),
    End("another app's id", "forbidden", "PERMISSION_DENIED", "app_id", "FORBIDDEN", ({"app_id": 2},)),
    End("link not allowed", "forbidden", "PERMISSION_DENIED", "esme", "FORBIDDEN", app_id=3),
    End("no route", "no_route", "NOT_FOUND", "esme", "NO_ROUTE", ({"esme": 4242},)),
    End("rate limit", "rate_limited", "RESOURCE_EXHAUSTED", "", "RATE_LIMITED", ({},) * 4, app_id=2),
    End("no bound link", "unavailable", "UNAVAILABLE", "no bound link", "UNAVAILABLE", ({"esme": 101},)),
    End("deadline", "", "DEADLINE_EXCEEDED", "", "EXPIRED", deadline_s=1e-6),
    End(
        "too large", "", "RESOURCE_EXHAUSTED", "", "MESSAGE_TOO_LARGE",
        ({}, {"message": "x" * 9000}),
    ),
    End("malformed protobuf", "invalid", "INVALID_ARGUMENT", "", "MALFORMED_MESSAGE", (b"\x0a",)),
    End(
        "unknown compression", "", "UNIMPLEMENTED", "", "UNKNOWN_COMPRESSION",
        ({"message": "a" * 500},), compression="deflate",
    ),
]  # fmt: skip


TOKEN_LIVES_S = 4
LEEWAY_S = 30


def token_ends_inside() -> End:
    """A stream that outlives its token: what comes then is refused in band. Made anew for each client."""
    last_at = int(time.time()) + TOKEN_LIVES_S
    bearer = token(ttl_s=last_at - LEEWAY_S - time.time())
    return End(
        "token ends inside", "unauthenticated", "UNAUTHENTICATED", "", "UNAUTHENTICATED", ({}, {}),
        bearer=bearer, last_at=last_at + 0.1,
    )  # fmt: skip


def ends_but(*names: str) -> list[Any]:
    """The table without what a client's library cannot be made to do."""
    assert {end.name for end in ENDS}.issuperset(names)
    return [end for end in ENDS if end.name not in names]


# -- the daemon ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def every_end(folder: Path) -> Iterator[Daemon]:
    """A daemon, bound to a simulator, on which every end can be met."""
    (folder / "blacklist.csv").write_text(LISTED + "\n")
    rules = [
        {"do": "error", "status": "ESME_RINVDSTADR", "destination_prefix": REFUSED},
        {"do": "silent", "destination_prefix": SILENT},
    ]
    with (
        running(Smsc(folder, {"rules": rules})) as smsc,
        running(Daemon(_config(folder, smsc.port))) as daemon,
    ):
        daemon.wait_bound()
        yield daemon


def _config(folder: Path, smsc_port: int) -> Path:
    config = Config(
        folder,
        smsc_port,
        {
            "server": {"max_message_bytes": 8192},
            "links.100": {"response_timeout_s": 0.5},
            "links.101": {"system_id": "off", "password": "x", "enabled": False},
            "links.102": {
                "host": "127.0.0.1", "port": smsc_port, "system_id": "slow", "password": "x",
                "rate_per_s": 1, "burst": 1,
            },
            "apps.2": {"secret": SECOND_SECRET, "rate_per_s": 1, "burst": 1},
            "apps.3": {"secret": THIRD_SECRET, "esmes": [101], "senders": ["ONLY"]},
            "policy.strategies.weekly": {"weekly_max": 1},
            "policy.blacklist": {"files": ["blacklist.csv"]},
        },
    )  # fmt: skip
    return config.write()


# -- what a client met ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Met:
    """How a call ended: its code, what stood beside an error, and the (status, error) of every answer."""

    code: str
    answers: list[tuple[str, str]]
    text: str = ""
    reason: str = ""
    retry_after_ms: int = 0


def reason_in(details: bytes) -> str:
    """The ErrorInfo's reason in the octets of `grpc-status-details-bin`."""
    for detail in status_pb2.Status.FromString(details).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def judge_unary(end: End, met: Met) -> None:
    """What the last of the unary calls met is the end."""
    assert met.code == end.code, met
    if end.code == "OK":
        assert [status for status, _ in met.answers] == [end.status]
        assert end.words in met.answers[0][1]
        return
    assert not met.answers
    assert end.words in met.text
    _judge_reason(end, met)
    assert (0 < met.retry_after_ms <= 1000) is (end.status == "rate_limited")


def judge_stream(end: End, met: Met) -> None:
    """The end stands in band, in its place; or the stream ends with it, after the answers before it.

    An overdue stream may tell `expired` in band and then end with its code; or end before it read anything.
    """
    assert met.code == end.stream_code, met
    if end.status:
        assert len(met.answers) == len(end.requests)
        assert met.answers[-1][0] == end.status
        assert end.words in met.answers[-1][1]
        return
    before = ["submitted"] * (len(end.requests) - 1)
    allowed = [before, [*before, "expired"]] if end.reason == "EXPIRED" else [before]
    assert [status for status, _ in met.answers] in allowed
    _judge_reason(end, met)


def _judge_reason(end: End, met: Met) -> None:
    """Of a microsecond's deadline, that the message is begun before it passes is rare, and right; and the
    client's own library may end an overdue call before the daemon does: it gives no reason."""
    assert met.reason in ({end.reason, "IN_DOUBT", ""} if end.reason == "EXPIRED" else {end.reason})


def campaign(count: int = CAMPAIGN) -> list[dict[str, Any]]:
    """Fine messages to a recipient of their own, each known by its transaction_id."""
    fine = {"app_id": 1, "esme": 100, "saddr": "MYBRAND", "daddr": str(next(_recipients))}
    return [
        {**fine, "message": f"message {number}", "transaction_id": f"t{number}"} for number in range(count)
    ]


def judge_campaign(answers: list[tuple[str, str]], count: int = CAMPAIGN) -> None:
    """(transaction_id, status) of every answer: all submitted, in the order of the requests."""
    assert answers == [(f"t{number}", "submitted") for number in range(count)]

"""The ledger checker itself: it passes what is exact and names each kind of difference, with its count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smsproxy.simulator.entry import Entry
from smsproxy.smpp.constants import ESME_RX_T_APPN
from tests.flow.kit import Client, Config, Daemon, M, Smsc, running, sms
from tests.flow.ledger import DriverLog, Record, Segment, check_ledger, examine, read_store
from tests.flow.ledger.checks import Finding

THROTTLED, REFUSED = 0x58, 0x0B
DELIVERED = [Segment("DELIVERED", "id-1")]


def a_submit(answer: int | None = 0, *, smsc_id: str = "id-1", **values: Any) -> Entry:
    plain: dict[str, Any] = {
        "at": 10.0, "session": 1, "system_id": "row", "direction": "in", "command": "submit_sm",
        "sequence_number": 1, "command_status": 0, "answer": answer, "destination": "998901234567",
        "octets": b"one", "smsc_id": "" if answer else smsc_id,
    }  # fmt: skip
    return Entry(**{**plain, **values})


def a_receipt(
    state: str = "DELIVRD", answer: int | None = 0, number: int = 1, session: int = 1
) -> list[Entry]:
    """A receipt for id-1 and its answer."""
    out = Entry(
        at=11.0, session=session, system_id="row", direction="out", command="deliver_sm",
        sequence_number=number, command_status=0, smsc_id="id-1", state=state,
    )  # fmt: skip
    if answer is None:
        return [out]
    back = replace(
        out, direction="in", command="deliver_sm_resp", command_status=answer, smsc_id="", state=""
    )
    return [out, back]


def a_record(*segments: Segment, **values: Any) -> Record:
    plain = Record("m-1", "t-1", 100, 9.0, list(segments) or [Segment("submitted", "id-1")])
    return replace(plain, **values)


def an_answer(status: str = "submitted", *ids: str, message_id: str = "m-1", repeated: bool = False) -> Any:
    ids = ids or (("id-1",) if status == "submitted" else ())
    return M["SmsResponse"](
        transaction_id="t-1", status=status, sms_ids=ids, message_id=message_id, repeated=repeated
    )


def a_log(*answers: Any, text: str = "one", asked: int | None = None, broken: int = 0) -> DriverLog:
    """One request, asked as often as it was answered or broken."""
    log = DriverLog()
    log.add("t-1", text).asked = len(answers) + broken if asked is None else asked
    log.requests["t-1"].broken = broken
    for answer in answers:
        log.answered(answer)
    return log


def a_part(number: int, answer: int | None = 0) -> Entry:
    return a_submit(
        answer, smsc_id=f"id-{number}", concat_ref=7, total_segments=2, segment_no=number,
        octets=b"part " if number == 1 else b"whole",
    )  # fmt: skip


TWO_PARTS = a_record(Segment("submitted", "id-1"), Segment("submitted", "id-2"))
UNKNOWN, NONE = an_answer("unknown"), an_answer("unavailable", message_id="")
AGAIN = an_answer(repeated=True)
EXACT: dict[str, tuple[DriverLog, list[Entry], list[Record]]] = {
    "accepted": (a_log(an_answer()), [a_submit()], [a_record()]),
    "accepted and delivered": (a_log(an_answer()), [a_submit(), *a_receipt()], [a_record(*DELIVERED)]),
    "throttled first": (a_log(an_answer()), [a_submit(THROTTLED), a_submit()], [a_record()]),
    "never answered": (a_log(UNKNOWN), [a_submit(None)], [a_record(Segment("unknown"))]),
    "in doubt and never seen": (a_log(UNKNOWN), [], [a_record(Segment("unknown"))]),
    "not sent": (a_log(NONE), [], []),
    "not sent, kept for a while": (a_log(NONE), [], [a_record(Segment("not_sent"))]),
    "refused": (a_log(an_answer("rejected")), [a_submit(REFUSED)], [a_record(Segment("REJECTED"))]),
    "throttled to the end": (
        a_log(an_answer("rate_limited")), [a_submit(THROTTLED)] * 3, [a_record(Segment("REJECTED"))]),
    "refused, then accepted": (
        a_log(an_answer("rejected"), an_answer()), [a_submit(REFUSED), a_submit()], [a_record()]),
    "sent thrice over cuts": (a_log(AGAIN, broken=2), [a_submit()], [a_record()]),
    "cut and never sent": (a_log(broken=1), [], []),
    "two parts": (a_log(an_answer("submitted", "id-1", "id-2"), text="part whole"),
                  [a_part(1), a_part(2)], [TWO_PARTS]),
    "second part refused": (
        a_log(an_answer("rejected", "id-1"), text="part whole"), [a_part(1), a_part(2, REFUSED)],
        [a_record(Segment("submitted", "id-1"), Segment("REJECTED"))]),
    "receipt sent back, then kept": (
        a_log(an_answer()), [a_submit(), *a_receipt(answer=ESME_RX_T_APPN), *a_receipt(number=2)],
        [a_record(*DELIVERED)]),
    "receipt never answered": (a_log(an_answer()), [a_submit(), *a_receipt(answer=None)], [a_record()]),
    "two finals, the first sticks": (
        a_log(an_answer()), [a_submit(), *a_receipt(), *a_receipt("EXPIRED", number=2)],
        [a_record(*DELIVERED)]),
    "intermediate receipt": (a_log(an_answer()), [a_submit(), *a_receipt("ENROUTE")], [a_record()]),
}  # fmt: skip

# what is wrong, the three logs, words of the difference, the counter that tells it
WRONG: list[tuple[str, DriverLog, list[Entry], list[Record], str, str]] = [
    ("no end", a_log(asked=1), [], [], "without an end", "losses"),
    ("two ends", a_log(an_answer(), AGAIN, asked=1), [a_submit()], [a_record()], "more than attempts", ""),
    ("sent again", a_log(an_answer()), [a_submit(), a_submit()], [a_record()], "sent again", "doubles"),
    ("sent again after silence", a_log(an_answer()), [a_submit(None), a_submit()], [a_record()],
     "sent again", "doubles"),
    ("tried four times", a_log(an_answer("rate_limited")), [a_submit(THROTTLED)] * 4,
     [a_record(Segment("REJECTED"))], "tried 4 times", ""),
    ("another text", a_log(an_answer()), [a_submit(octets=b"two")], [a_record()], "another text", ""),
    ("ghost", a_log(broken=1), [a_submit()], [], "no record", "losses"),
    ("intent after the submit", a_log(an_answer()), [a_submit()], [a_record(created_at=20.0)], "younger", ""),
    ("left without an end", a_log(UNKNOWN), [a_submit(None)], [a_record(Segment("submitting"))],
     "left without an end", ""),
    ("id of nobody", a_log(UNKNOWN), [a_submit()], [a_record(Segment("submitted", "id-9"))],
     "no SMSC gave", ""),
    ("accepted, not at the SMSC", a_log(an_answer()), [], [a_record(Segment("submitted"))],
     "no SMSC took it", "losses"),
    ("accepted, no record", a_log(an_answer()), [a_submit()], [], "no record", "losses"),
    ("accepted, not answered", a_log(an_answer()), [a_submit(None)], [a_record()],
     "no SMSC took it", "losses"),
    ("another id told", a_log(an_answer("submitted", "id-2")), [a_submit()], [a_record()],
     "the SMSC gave", ""),
    ("id not recorded", a_log(an_answer()), [a_submit()], [a_record(Segment("unknown"))],
     "its record", "losses"),
    ("ids out of order", a_log(an_answer("submitted", "id-2", "id-1"), text="part whole"),
     [a_part(1), a_part(2)], [TWO_PARTS], "the SMSC gave", ""),
    ("accepted in part", a_log(an_answer("submitted", "id-1"), text="part whole"), [a_part(1)],
     [a_record(Segment("submitted", "id-1"), Segment("not_sent"))], "1 of 2 segments", ""),
    ("unavailable, but taken", a_log(NONE), [a_submit()], [a_record()], "an SMSC has it", "unmatched"),
    ("rate limited, but unanswered", a_log(an_answer("rate_limited")), [a_submit(None)],
     [a_record(Segment("unknown"))], "an SMSC has it", "unmatched"),
    ("unavailable, but refused", a_log(NONE), [a_submit(REFUSED)], [], "an SMSC refused it", ""),
    ("unavailable, but throttled", a_log(NONE), [a_submit(THROTTLED)], [], "throttled it", ""),
    ("rejected, never seen", a_log(an_answer("rejected")), [], [a_record(Segment("REJECTED"))],
     "no SMSC has seen it", ""),
    ("receipt lost", a_log(an_answer()), [a_submit(), *a_receipt()], [a_record()], "answered ok", "losses"),
    ("another state", a_log(an_answer()), [a_submit(), *a_receipt("UNDELIV")], [a_record(*DELIVERED)],
     "its receipts allow", ""),
    ("a later final won", a_log(an_answer()),
     [a_submit(), *a_receipt("EXPIRED"), *a_receipt(number=2)], [a_record(*DELIVERED)],
     "its receipts allow", ""),
    ("a state nobody sent", a_log(an_answer()), [a_submit()], [a_record(*DELIVERED)],
     "no receipt said so", ""),
    ("accepted twice", a_log(an_answer(), an_answer()), [a_submit()], [a_record()], "more than once", ""),
    ("repeat with other ids", a_log(an_answer(), an_answer("submitted", "id-2", repeated=True)), [a_submit()],
     [a_record()], "other ids", ""),
    ("not sent was a lie", a_log(NONE, AGAIN), [a_submit()], [a_record()], "told not to be sent", ""),
    ("two message ids", a_log(UNKNOWN, an_answer(message_id="m-2")), [a_submit()], [a_record()],
     "more than one message_id", ""),
    ("two records", a_log(an_answer()), [a_submit()], [a_record(), a_record()], "2 records", ""),
    ("stranger on the wire", a_log(an_answer()), [a_submit(), a_submit(destination="1234")], [a_record()],
     "no request explains", "unmatched"),
    ("stranger in the store", a_log(an_answer()), [a_submit()], [a_record(), a_record(transaction_id="t-9")],
     "no request explains", "unmatched"),
]  # fmt: skip


@pytest.mark.parametrize("case", EXACT)
def test_an_exact_ledger_passes(case: str) -> None:
    counts = check_ledger(*EXACT[case])
    assert (counts.doubles, counts.losses, counts.unmatched) == (0, 0, 0)


@pytest.mark.parametrize(
    ("log", "entries", "records", "words", "counter"), [pytest.param(*one[1:], id=one[0]) for one in WRONG]
)
def test_a_difference_is_named_and_counted(
    log: DriverLog, entries: list[Entry], records: list[Record], words: str, counter: str
) -> None:
    found: Finding = examine(log, entries, records)
    assert any(words in difference for difference in found.differences), found.differences
    assert not counter or getattr(found.counts, counter) >= 1
    with pytest.raises(AssertionError, match=r"t-1|no request explains"):
        check_ledger(log, entries, records)


@pytest.mark.parametrize(
    ("samples", "record", "back"),
    [
        (["submitting", "submitted", "DELIVERED"], DELIVERED, False),
        (["unknown", "submitted"], DELIVERED, False),
        (["DELIVERED", "submitted"], DELIVERED, True),
        (["submitted", "unknown"], DELIVERED, True),
        (["UNDELIVERABLE", "DELIVERED"], DELIVERED, True),
        (["DELIVERED"], [Segment("submitted", "id-1")], True),
    ],
)
def test_a_status_that_goes_back_is_found(samples: list[str], record: list[Segment], *, back: bool) -> None:
    log = a_log(an_answer())
    for state in samples:
        log.sampled("t-1", {"1": state})
    receipts = a_receipt(answer=None)
    differences = examine(log, [a_submit(), *receipts], [a_record(*record)]).differences
    assert any("back to" in difference for difference in differences) is back


def test_messages_for_one_number_are_told_apart_by_their_texts() -> None:
    log = a_log(an_answer())
    log.add("t-2", "two").asked = 1
    log.refused("t-2", "unavailable")
    assert examine(log, [a_submit()], [a_record()]).differences == []
    assert examine(log, [a_submit(), a_submit(octets=b"two")], [a_record()]).counts.unmatched == 1


def test_the_counts_of_a_real_run_are_read_from_its_store(tmp_path: Path) -> None:
    log = DriverLog()
    with running(Smsc(tmp_path / "smsc", {"rules": [{"do": "error", "every": 4}]})) as smsc:
        config = Config(tmp_path, smsc.port).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            requests = []
            for number in range(8):
                request = log.add(f"t-{number}", f"text {number}", f"9989000000{number}")
                log.asked(request.transaction_id)
                requests.append(sms(transaction_id=f"t-{number}", message=request.text, daddr=request.daddr))
            for answer in client.stream(requests):
                log.answered(answer)
                if answer.status == "submitted":
                    info = client.wait_status(answer.message_id, "DELIVERED")
                    log.sampled(answer.transaction_id, dict(info.parts))
        counts = check_ledger(log, smsc.entries(), read_store(config))
    assert counts.ends == {"submitted": 6, "rejected": 2}
    assert (counts.records, counts.pdus, counts.receipts_ok, counts.samples) == (8, 8, 6, 6)
    assert "rejected 2, submitted 6; 0 repeated, 0 broken before the answer" in str(counts)

"""The proof: promises P1 to P6 (docs/ARCHITECTURE.md, "What is promised"), counted message by message.

Each check is a plain function of one request and yields the differences it found, a sentence each; a kind
of difference that has a count is counted where it is found. Called by flow tests through `check_ledger`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from smsproxy.simulator.entry import Entry
from smsproxy.smpp.constants import ESME_RMSGQFUL, ESME_ROK, ESME_RTHROTTLED
from tests.flow.ledger.counts import Counts
from tests.flow.ledger.driver_log import DriverLog, Request
from tests.flow.ledger.stored import Record
from tests.flow.ledger.wire import (
    FINAL_WORDS,
    Receipts,
    ids_given,
    receipts_of,
    submits_by_request,
    texts_shown,
)

SHOWN = 20
"""Differences that an AssertionError spells out."""
MAX_TRIES = 3
"""Submits of one segment for one attempt, while the SMSC says that it does not take them (spec §6)."""
CLOCK_S = 0.01
_THROTTLED = (ESME_RTHROTTLED, ESME_RMSGQFUL)
_STATES = frozenset(FINAL_WORDS.values())
_RANKS = {"submitting": 0, "unknown": 1, "submitted": 2, **dict.fromkeys(_STATES, 3), "not_sent": 3}


@dataclass(slots=True)
class Case:
    """One request with all that the three logs have of it."""

    request: Request
    submits: list[Entry]
    record: Record | None
    counts: Counts
    clock_s: float

    @property
    def key(self) -> str:
        return self.request.transaction_id

    @property
    def maybe_out(self) -> list[Entry]:
        """Submits that the SMSC took, or never answered."""
        return [entry for entry in self.submits if entry.answer in (None, ESME_ROK)]


@dataclass(slots=True)
class Finding:
    """What `examine` found: nothing is wrong when there are no differences."""

    counts: Counts
    differences: list[str] = field(default_factory=list)


def check_ledger(
    log: DriverLog, entries: Iterable[Entry], records: Iterable[Record], *, clock_s: float = CLOCK_S
) -> Counts:
    """The counts of a run without a difference. Raises AssertionError with the differences.

    `clock_s`: how far the clocks of daemon and SMSC may be apart.
    """
    found = examine(log, entries, records, clock_s)
    shown = found.differences[:SHOWN]
    more = len(found.differences) - len(shown)
    assert not shown, "\n".join([*shown, *([f"... and {more} more"] if more else []), str(found.counts)])
    return found.counts


def examine(
    log: DriverLog, entries: Iterable[Entry], records: Iterable[Record], clock_s: float = CLOCK_S
) -> Finding:
    """Join the three logs and check every message. `entries`: one truth log behind the other."""
    entries, records = list(entries), list(records)
    counts = _counted(log, entries, records)
    finding = Finding(counts)
    submits, strange = submits_by_request(log.requests.values(), entries)
    for entry in strange:
        counts.unmatched += 1
        finding.differences.append(f"a submit to {entry.destination} that no request explains")
    by_key: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_key[record.transaction_id].append(record)
    for key, request in log.requests.items():
        mine = by_key.pop(key, [])
        if len(mine) > 1:
            finding.differences.append(f"{key} has {len(mine)} records")
        case = Case(request, submits.get(key, []), mine[0] if mine else None, counts, clock_s)
        for check in _CHECKS:
            finding.differences += check(case)
    for key, mine in by_key.items():
        counts.unmatched += len(mine)
        finding.differences.append(f"a record of {key!r} that no request explains")
    finding.differences += _receipts(receipts_of(entries), records, counts)
    return finding


def _counted(log: DriverLog, entries: list[Entry], records: list[Record]) -> Counts:
    requests = log.requests.values()
    submits = [one for one in entries if one.direction == "in" and one.command in ("submit_sm", "data_sm")]
    return Counts(
        messages=len(requests),
        asked=sum(request.asked for request in requests),
        ends=Counter(heard.status for request in requests for heard in request.heard),
        repeated=sum(heard.repeated for request in requests for heard in request.heard),
        broken=sum(request.broken for request in requests),
        samples=sum(len(request.samples) for request in requests),
        pdus=len(submits),
        refused_pdus=sum(entry.answer not in (None, ESME_ROK) for entry in submits),
        records=len(records),
        in_doubt=sum(any(one.state == "unknown" for one in record.segments) for record in records),
    )


# -- P1: one end ---------------------------------------------------------------------------------------------


def _one_end(case: Case) -> Iterator[str]:
    request = case.request
    missing = request.asked - len(request.heard) - request.broken
    if missing > 0:
        case.counts.losses += 1
        yield f"{case.key}: {missing} of {request.asked} attempts without an end"
    elif missing < 0:
        yield f"{case.key}: {-missing} ends more than attempts"


def _same_text(case: Case) -> Iterator[str]:
    """What a handset shows is what was asked for."""
    for text in texts_shown(case.submits):
        if text != case.request.text:
            yield f"{case.key}: the SMSC was given another text"


# -- P2: no double -------------------------------------------------------------------------------------------


def _no_double(case: Case) -> Iterator[str]:
    by_segment: dict[int, list[int | None]] = defaultdict(list)
    for entry in case.submits:
        by_segment[entry.segment_no].append(entry.answer)
    for segment_no, answers in sorted(by_segment.items()):
        if any(answer in (None, ESME_ROK) for answer in answers[:-1]):
            case.counts.doubles += 1
            yield f"{case.key}: segment {segment_no} was sent again after it may have been taken: {answers}"
        if len(answers) > MAX_TRIES * max(1, case.request.asked):
            yield f"{case.key}: segment {segment_no} was tried {len(answers)} times"


# -- P3: no ghost --------------------------------------------------------------------------------------------


def _no_ghost(case: Case) -> Iterator[str]:
    """What an SMSC saw has a record, written before; without one only where it took nothing of it."""
    record = case.record
    if case.submits and record is None and case.maybe_out:
        case.counts.losses += 1
        yield f"{case.key}: {len(case.submits)} submits and no record"
    if case.submits and record is not None and record.created_at > case.submits[-1].at + case.clock_s:
        yield f"{case.key}: its record is younger than its submits"
    if record is not None and any(segment.state == "submitting" for segment in record.segments):
        yield f"{case.key}: its record was left without an end"
    if record is not None:
        given = [entry.smsc_id for entry in case.submits if entry.answer == ESME_ROK]
        for smsc_id in record.smsc_ids:
            if smsc_id not in given:
                yield f"{case.key}: no SMSC gave the id {smsc_id} of its record"


def _accepted(case: Case) -> Iterator[str]:
    """`submitted` was said only of what the SMSC took and the store has, with the ids in order."""
    given = ids_given(case.submits)
    for heard in case.request.heard:
        if heard.status not in ("submitted", "rejected"):
            continue
        record = case.record
        if heard.status == "submitted" and (record is None or not given):
            case.counts.losses += 1
            yield f"{case.key}: submitted, {'no record' if record is None else 'no SMSC took it'}"
            continue
        tried_anew = heard.status == "rejected" and not heard.smsc_ids and case.request.asked > 1
        if heard.smsc_ids != given and not tried_anew:
            yield f"{case.key}: {heard.status} with the ids {heard.smsc_ids}, the SMSC gave {given}"
        if record is not None and heard.smsc_ids and record.smsc_ids != heard.smsc_ids:
            case.counts.losses += 1
            yield f"{case.key}: {heard.status} with the ids {heard.smsc_ids}, its record {record.smsc_ids}"
        if heard.status == "submitted" and record is not None and len(record.segments) != len(given):
            yield f"{case.key}: submitted with {len(given)} of {len(record.segments)} segments"


# -- P4: what was told not to be sent was not ----------------------------------------------------------------


def _not_sent(case: Case) -> Iterator[str]:
    request = case.request
    if not request.may_be_out:
        if case.maybe_out:
            case.counts.unmatched += 1
            yield f"{case.key}: {sorted(request.statuses)}, but an SMSC has it"
        elif any(entry.answer not in _THROTTLED for entry in case.submits):
            yield f"{case.key}: {sorted(request.statuses)}, but an SMSC refused it"
        elif case.submits and "rate_limited" not in request.statuses:
            yield f"{case.key}: {sorted(request.statuses)}, but an SMSC throttled it"
    elif request.statuses == {"rejected"} and not request.broken and not case.submits:
        yield f"{case.key}: rejected, but no SMSC has seen it"


# -- P6: forward only, and repeats ---------------------------------------------------------------------------


def _forward_only(case: Case) -> Iterator[str]:
    """What was seen of a part never went back, and the record holds the last of it or more."""
    record = case.record
    at_last = {str(number): one.state for number, one in enumerate(record.segments, 1)} if record else {}
    before: dict[str, str] = {}
    for sample in [*case.request.samples, at_last]:
        for part, state in sample.items():
            last = before.get(part, state)
            if last != state and _RANKS[state] <= _RANKS[last]:
                yield f"{case.key}: part {part} went from {last} back to {state}"
            before[part] = state


def _repeats(case: Case) -> Iterator[str]:
    """A request is accepted once; every repeat of it gets the same end."""
    accepted = [heard for heard in case.request.heard if heard.status == "submitted"]
    if sum(not heard.repeated for heard in accepted) > 1:
        yield f"{case.key}: accepted more than once"
    told_before = case.request.broken or "unknown" in case.request.statuses
    if accepted and all(heard.repeated for heard in accepted) and not told_before:
        yield f"{case.key}: a repeat of what was told not to be sent"
    if len({(heard.message_id, heard.smsc_ids) for heard in accepted}) > 1:
        yield f"{case.key}: its repeats got other ids"
    ids = {heard.message_id for heard in case.request.heard if heard.message_id}
    if len(ids) > 1 or (ids and case.record is not None and case.record.message_id not in ids):
        yield f"{case.key}: it has more than one message_id"


_CHECKS = (_one_end, _same_text, _no_double, _no_ghost, _accepted, _not_sent, _forward_only, _repeats)


# -- P5: receipts --------------------------------------------------------------------------------------------


def _receipts(receipts: Receipts, records: list[Record], counts: Counts) -> Iterator[str]:
    """A receipt answered ok is in the store, and a final state is what the SMSC said."""
    counts.receipts_ok, counts.receipts_sent_back = receipts.ok, receipts.sent_back
    known: set[str] = set()
    for record in records:
        for segment in record.segments:
            told = receipts.told.get(segment.smsc_id) if segment.smsc_id else None
            if told is None:
                if segment.smsc_id and segment.state in _STATES:
                    yield f"{record.transaction_id}: {segment.state}, but no receipt said so"
                continue
            known.add(segment.smsc_id)
            if told.confirmed and segment.state not in _STATES:
                counts.losses += 1
                yield f"{record.transaction_id}: {segment.state}, but a final receipt was answered ok"
            elif segment.state in _STATES and segment.state not in told.allowed:
                yield f"{record.transaction_id}: {segment.state}, its receipts allow {told.allowed or None}"
    counts.receipts_unmatched = sum(told.confirmed for key, told in receipts.told.items() if key not in known)

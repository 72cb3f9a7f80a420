"""The SMSCs' side of the ledger: which submits belong to which request, and what each receipt came to.

Plain functions over the entries of truth logs; called by `checks`. SMSC ids are taken to be unique over all
logs of a run: simulators number from their clocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from smsproxy.simulator import ledger
from smsproxy.simulator.entry import Entry
from smsproxy.smpp.constants import ESME_ROK, ESME_RX_T_APPN
from tests.flow.ledger.driver_log import Request

FINAL_WORDS = {
    "DELIVRD": "DELIVERED",
    "UNDELIV": "UNDELIVERABLE",
    "DELETED": "UNDELIVERABLE",
    "UNKNOWN": "UNDELIVERABLE",
    "EXPIRED": "EXPIRED",
    "REJECTD": "REJECTED",
}
"""What the words of receipts mean for a segment (spec §6); the others are not final."""


def submits_by_request(
    requests: Iterable[Request], entries: list[Entry]
) -> tuple[dict[str, list[Entry]], list[Entry]]:
    """Each request's submits in their order, by transaction_id; and those that nobody asked for.

    A destination that only one request has names it; else the text does.
    """
    owners: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        owners[request.daddr].append(request)
    by_text = {
        (one.daddr, one.text): one.transaction_id
        for sharing in owners.values()
        if len(sharing) > 1
        for one in sharing
    }
    found: dict[str, list[Entry]] = defaultdict(list)
    strange: list[Entry] = []
    begun: dict[tuple[object, ...], str] = {}
    for entry in ledger.submits(entries):
        sharing = owners.get(entry.destination, [])
        key = sharing[0].transaction_id if len(sharing) == 1 else by_text.get((entry.destination, entry.text))
        if key is None:
            key = _by_part(sharing, entry, begun)
        if key is None:
            strange.append(entry)
        else:
            found[key].append(entry)
    return found, strange


def _by_part(sharing: list[Request], entry: Entry, begun: dict[tuple[object, ...], str]) -> str | None:
    """Whose segment this is: who alone has such a piece in its text, else whose message was begun so."""
    if entry.total_segments == 1 or entry.text is None:
        return None
    message = (entry.system_id, entry.source, entry.destination, entry.concat_ref, entry.total_segments)
    owners = [one.transaction_id for one in sharing if entry.text in one.text]
    if len(owners) == 1:
        begun[message] = owners[0]
    return begun.get(message) if begun.get(message) in owners else None


def texts_shown(entries: Iterable[Entry]) -> list[str]:
    """What a handset shows of these submits, whole messages alone."""
    return [text.text for text in ledger.texts(entries) if text.text is not None]


def ids_given(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The SMSC's ids of the segments it took, in segment order."""
    taken = [entry for entry in entries if entry.answer == ESME_ROK]
    return tuple(entry.smsc_id for entry in sorted(taken, key=lambda entry: entry.segment_no))


@dataclass(slots=True)
class Told:
    """The final receipts of one SMSC id, in the order they were sent."""

    finals: list[tuple[str, int | None, int]] = field(default_factory=list)
    """(the state it means, the status it was answered with or None, session)"""

    @property
    def confirmed(self) -> bool:
        """The gateway has answered ok for one of them: it has it, for good."""
        return any(status == ESME_ROK for _, status, _ in self.finals)

    @property
    def allowed(self) -> set[str]:
        """States that the record may have: the first one that was kept sticks.

        One without an answer may have been kept. Over several sessions nobody knows which was first.
        """
        if len({session for _, _, session in self.finals}) > 1:
            return {state for state, status, _ in self.finals if status in (None, ESME_ROK)}
        found: set[str] = set()
        for state, status, _ in self.finals:
            if status in (None, ESME_ROK):
                found.add(state)
            if status == ESME_ROK:
                break
        return found


@dataclass(slots=True)
class Receipts:
    """All receipts of a run. Counts are of deliver_sm and data_sm, repeats included."""

    told: dict[str, Told] = field(default_factory=dict)
    sent: int = 0
    ok: int = 0
    sent_back: int = 0
    unanswered: int = 0


def receipts_of(entries: Iterable[Entry]) -> Receipts:
    """Join each receipt with its answer: by session and sequence_number, within one truth log's order."""
    found = Receipts()
    open_ones: dict[tuple[str, int, int], Entry] = {}
    ends: list[tuple[Entry, int | None]] = []
    places: dict[int, int] = {}
    for entry in entries:
        key = (entry.system_id, entry.session, entry.sequence_number)
        if entry.direction == "out" and entry.command in ("deliver_sm", "data_sm") and entry.smsc_id:
            open_ones[key] = entry
            places[id(entry)] = len(ends)
            ends.append((entry, None))
        elif entry.direction == "in" and entry.command in ("deliver_sm_resp", "data_sm_resp"):
            receipt = open_ones.pop(key, None)
            if receipt is not None:
                ends[places[id(receipt)]] = (receipt, entry.command_status)
    for entry, status in ends:
        found.sent += 1
        found.ok += status == ESME_ROK
        found.sent_back += status == ESME_RX_T_APPN
        found.unanswered += status is None
        state = FINAL_WORDS.get(entry.state)
        if state is not None:
            told = found.told.setdefault(entry.smsc_id, Told())
            told.finals.append((state, status, entry.session))
    return found

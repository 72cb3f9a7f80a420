"""Receipts that come together with the results of their messages, so that one write can say both. Loop side.

An SMSC that sends its receipts at once sends them in one octet stream with its answers. While such receipts
wait for the results before them (`aerospike.py`), they lie here; a batch of results takes along those that
are about it, and says afterwards which of them it has written. The others go the way of any receipt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import FINAL, SegmentState
from smsproxy.stores.base import SegmentResult

Key = tuple[str, str]
"""(account, receipt key)"""


class Held:
    """The receipts of one call. `left`: those that no batch of results has written; `under_way`: how many are
    with batches now."""

    __slots__ = ("left", "under_way")

    def __init__(self, receipts: Sequence[Receipt]) -> None:
        self.left = dict(enumerate(receipts))
        self.under_way = 0

    @property
    def rest(self) -> list[Receipt]:
        """In order of their arrival."""
        return [self.left[number] for number in sorted(self.left)]


class Told:
    """What a batch of results takes along. `written` is filled by the thread that writes."""

    __slots__ = ("_places", "said", "written")

    def __init__(self, places: dict[int, tuple[Held, int]]) -> None:
        self._places = places
        self.said = {handle: held.left[number] for handle, (held, number) in places.items()}
        """By the handles of their messages."""
        self.written: set[int] = set()
        for held, _ in places.values():
            held.under_way += 1

    def give_back(self) -> None:
        """The batch has ended, well or not."""
        for handle, (held, number) in self._places.items():
            held.under_way -= 1
            if handle in self.written:
                del held.left[number]


class Together:
    """Receipts that wait, by the key under which their result will come."""

    def __init__(self, is_parked: Callable[[Key], bool]) -> None:
        self._is_parked = is_parked
        self._places: dict[Key, tuple[Held, int]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def hold(self, receipts: Sequence[Receipt]) -> Held:
        """Final ones whose key comes once; of several, the order counts, so they go the usual way."""
        held = Held(receipts)
        keys = [receipt[:2] for receipt in receipts]
        often = _repeated(keys)
        places = self._places
        for number, (key, receipt) in enumerate(zip(keys, receipts, strict=True)):
            if receipt.state in FINAL and key not in often and key not in places and not self._is_parked(key):
                places[key] = held, number
        return held

    def release(self, held: Held) -> None:
        """No batch of results may take of these any more."""
        if self._places:
            self._places = {key: place for key, place in self._places.items() if place[0] is not held}

    def take(self, results: Sequence[SegmentResult]) -> Told | None:
        """Those that are about these results, if any are. Of two results with one key the last one counts,
        which is not known before both are stored."""
        places = self._places
        if not places:
            return None
        keys = [(one.intent.account, one.receipt_key) for one in results]
        often = _repeated(keys)
        taken = {
            one.intent.generation: places.pop(key)
            for key, one in zip(keys, results, strict=True)
            if key in places and key not in often and _may_go(one)
        }
        return Told(taken) if taken else None


def _may_go(one: SegmentResult) -> bool:
    return one.state is SegmentState.SUBMITTED and one.intent.segments == 1


def _repeated(keys: Sequence[Key]) -> set[Key]:
    if len(set(keys)) == len(keys):
        return set()
    return {key for key, times in Counter(keys).items() if times > 1}

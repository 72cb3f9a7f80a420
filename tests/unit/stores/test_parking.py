"""Parked receipts: forward only, bounded, the oldest first to leave."""

from __future__ import annotations

import pytest

from smsproxy.domain.record import SegmentState
from smsproxy.stores import parking
from smsproxy.stores.parking import PARKING_S, Parked, Parking

ENROUTE = Parked(SegmentState.SUBMITTED, "ENROUTE", 10.0)
DELIVERED = Parked(SegmentState.DELIVERED, "", 11.0)
EXPIRED = Parked(SegmentState.EXPIRED, "EXPIRED", 12.0)


def test_a_final_receipt_replaces_an_intermediate_one_and_is_replaced_by_none() -> None:
    parked: Parking[str] = Parking()
    assert [parked.park("k", one) for one in (ENROUTE, DELIVERED, EXPIRED, ENROUTE)] == [
        True,
        True,
        False,
        False,
    ]
    assert parked.get("k") == DELIVERED
    parked.take("k")
    assert parked.get("k") is None


def test_the_oldest_leaves_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "PARKING_MAX", 2)
    parked = Parking([("a", ENROUTE), ("b", DELIVERED)])
    assert parked.full_for("c") == "a"
    assert parked.full_for("b") is None
    parked.park("a", EXPIRED)  # news make it the youngest
    assert parked.full_for("c") == "b"
    parked.take("b")
    assert parked.full_for("c") is None


def test_receipts_lapse_after_their_minute_and_not_at_it() -> None:
    parked = Parking([("a", ENROUTE), ("b", DELIVERED)])
    assert parked.lapse(ENROUTE.at + PARKING_S) == 0
    assert parked.lapse(ENROUTE.at + PARKING_S + 0.5) == 1
    assert (parked.get("a"), len(parked)) == (None, 1)

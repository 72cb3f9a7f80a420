"""Numbers added to the blacklist one at a time."""

from __future__ import annotations

import pytest
from policy_bench import BLACKLIST, CP2, HandClock, a_request

from smsproxy.policy import added
from smsproxy.policy.added import AddedFullError, AddedInStore
from smsproxy.policy.base import Transaction, Verdict
from smsproxy.policy.blacklist import Blacklist
from smsproxy.policy.embedded import EmbeddedState
from smsproxy.policy.engine import ContactPolicy
from smsproxy.policy.memory import MemoryKeyValue

NUMBER = "998901234567"


async def test_a_daemon_reads_the_list_when_it_is_another_and_only_then() -> None:
    kv = MemoryKeyValue(HandClock())
    watch = AddedInStore(kv)
    assert await watch.changed() == frozenset()
    assert await watch.changed() is None
    assert await kv.transact(lambda t: added.add(t, NUMBER))
    assert await watch.changed() == {NUMBER}
    assert not await kv.transact(lambda t: added.add(t, NUMBER))
    assert await watch.changed() is None
    assert await kv.transact(lambda t: added.remove(t, NUMBER))
    assert not await kv.transact(lambda t: added.remove(t, NUMBER))
    assert await watch.changed() == frozenset()


async def test_the_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(added, "ADDED_MAX", 2)
    kv = MemoryKeyValue(HandClock())
    for number in ("1", "2"):
        assert await kv.transact(lambda t, number=number: added.add(t, number))
    with pytest.raises(AddedFullError, match="put further ones into a file"):
        await kv.transact(lambda t: added.add(t, "3"))
    assert not await kv.transact(lambda t: added.add(t, "2")), "what is there already is no addition"


async def test_room_is_made_by_removing_and_adding_reads_no_other_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(added, "ADDED_MAX", 2)
    kv = MemoryKeyValue(HandClock())

    class Blind:
        """A transaction that lists nothing."""

        def __init__(self, transaction: Transaction) -> None:
            self.get, self.put, self.delete = transaction.get, transaction.put, transaction.delete

        def keys(self, prefix: bytes) -> list[bytes]:
            raise AssertionError("a daemon's messages wait while this reads")

    for number in ("1", "2"):
        assert await kv.transact(lambda t, number=number: added.add(Blind(t), number))
    assert await kv.transact(lambda t: added.remove(Blind(t), "1"))
    assert await kv.transact(lambda t: added.add(Blind(t), "3"))
    with pytest.raises(AddedFullError):
        await kv.transact(lambda t: added.add(Blind(t), "4"))
    assert await AddedInStore(kv).changed() == {"2", "3"}


async def test_an_added_number_is_refused_where_the_blacklist_counts() -> None:
    clock = HandClock()
    state = EmbeddedState(MemoryKeyValue(clock))
    policy = ContactPolicy([BLACKLIST, CP2], "UTC", state, clock, Blacklist())
    policy.replace_added(frozenset({NUMBER}))
    asked = [a_request(1, "blacklist"), a_request(2, "cp2"), a_request(3, "blacklist", daddr="998900000001")]
    assert await policy.reserve(asked) == [Verdict.BLACKLIST, Verdict.OK, Verdict.OK]


async def test_while_the_list_is_not_known_yet_nobody_is_promised_not_to_be_on_it() -> None:
    clock = HandClock()
    listed = Blacklist([int("1998900000000")])
    policy = ContactPolicy([BLACKLIST, CP2], "UTC", EmbeddedState(MemoryKeyValue(clock)), clock, listed)
    policy.replace_added(None)
    asked = [a_request(1, "blacklist"), a_request(2, "cp2"), a_request(3, "blacklist", daddr="998900000000")]
    assert await policy.reserve(asked) == [Verdict.UNAVAILABLE, Verdict.OK, Verdict.BLACKLIST]

"""Who flooded comes in once a second for half a minute, and is then as anybody."""

from __future__ import annotations

from smsproxy.rpc.penalties import MAX_ADDRESSES, Penalties


def test_after_a_flood_an_address_connects_once_a_second() -> None:
    penalties = Penalties()
    penalties.flooded("a", 0.0)
    came_in = [now / 10 for now in range(300) if not penalties.refuses("a", now / 10)]
    assert came_in == [float(second) for second in range(1, 30)]
    assert not penalties.refuses("a", 30.0)
    assert not penalties.refuses("a", 30.0)
    assert repr(penalties) == "<Penalties addresses=0>"


def test_who_floods_again_and_again_waits_twice_as_long_each_time() -> None:
    penalties = Penalties()
    now, waits = 0.0, []
    for _ in range(6):
        penalties.flooded("a", now)
        came = next(later / 10 for later in range(200) if not penalties.refuses("a", now + later / 10))
        waits.append(came)
        now += came
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    penalties.flooded("a", now + 100)
    assert not penalties.refuses("a", now + 101)


def test_others_and_nobody_are_not_meant() -> None:
    penalties = Penalties()
    penalties.flooded("a", 0.0)
    penalties.flooded("", 0.0)
    assert not penalties.refuses("b", 0.1)
    assert not penalties.refuses("", 0.1)


def test_the_memory_is_bounded() -> None:
    penalties = Penalties()
    for number in range(MAX_ADDRESSES + 1):
        penalties.flooded(str(number), 0.0)
    assert not penalties.refuses("0", 0.1)
    assert penalties.refuses("1", 0.1)

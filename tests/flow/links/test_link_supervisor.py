"""Links and pools from settings: started, changed by a reload, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from links_flow_kit import Lines, assert_nothing_left, ended, link_settings, until
from raw_smsc import RawSmsc

from smsproxy.limits.gcra import Gcra
from smsproxy.links.link import Link
from smsproxy.links.supervisor import LinkSupervisor
from smsproxy.settings import LinkSettings, PoolMember, PoolSettings
from tests.unit.links.links_kit import APP, Desk, Message


class AnyLinkDesk(Desk):
    """A Desk for more than one link: a message knows the link it was offered to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: dict[str, Link] = {}

    def offer(self, link: Link, name: str, parts: int = 1) -> Message:
        message = Message(name, parts, APP)
        self.links[name] = link
        self._for(message)
        link.offer(message)
        return message

    def _for(self, message: Message) -> None:
        self.link = self.links[message.name]

    def granted(self, link_id: int, submission: Any) -> None:
        self._for(submission)
        super().granted(link_id, submission)

    def answered(self, answers: list[Any]) -> None:
        for answer in answers:
            self._for(answer[0])
            super().answered([answer])


class Office:
    """A supervisor with its desk and log."""

    def __init__(self) -> None:
        self.desk = AnyLinkDesk()
        self.log = Lines()
        log: Any = self.log
        self.supervisor = LinkSupervisor(
            self.desk, lambda _id, one, *_: Gcra(one.rate_per_s, one.burst), 10, log
        )
        self.directory = self.supervisor.directory

    async def bound(self, *link_ids: int) -> None:
        await until(lambda: all(self.directory.links[link_id].bound for link_id in link_ids))


@pytest_asyncio.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    yield office
    await office.supervisor.stop()
    assert office.supervisor.idle
    assert_nothing_left()


def a_pool(**weights: int) -> PoolSettings:
    members = [PoolMember(link=int(name[1:]), weight=weight) for name, weight in weights.items()]
    return PoolSettings(members=tuple(members))


async def test_links_and_pools_begin(smsc: RawSmsc, office: Office) -> None:
    settings = {100: link_settings(smsc.port), 101: link_settings(smsc.port, account="other")}
    assert office.supervisor.apply(settings, {1000: a_pool(l100=3, l101=1)}) == [100, 101]
    assert office.directory.pick(1000) is None
    await office.bound(100, 101)
    picked = [office.directory.pick(1000) for _ in range(4)]
    assert [link.link_id for link in picked if link] == [100, 100, 101, 100]
    assert repr(office.supervisor) == "<LinkSupervisor links=2 retiring=0>"


async def test_a_reload_keeps_the_sessions_of_links_that_did_not_change(
    smsc: RawSmsc, office: Office
) -> None:
    settings = {100: link_settings(smsc.port), 101: link_settings(smsc.port, system_id="two")}
    office.supervisor.apply(settings, {})
    await office.bound(100, 101)
    kept = office.directory.link(100)
    changed = {**settings, 101: link_settings(smsc.port, system_id="three")}
    assert office.supervisor.apply(changed, {1000: a_pool(l100=1)}) == [101]
    assert office.directory.link(100) is kept
    assert office.directory.pick(1000) is kept
    assert office.supervisor.apply(changed, {}) == []
    assert not office.directory.knows(1000)
    await office.bound(100, 101)
    assert len(smsc.sessions) == 3


async def test_a_changed_link_finishes_what_it_has_while_its_successor_binds(
    smsc: RawSmsc, office: Office
) -> None:
    office.supervisor.apply({100: link_settings(smsc.port, window=1)}, {})
    old_session = await smsc.next_bound()
    await office.bound(100)
    old = office.directory.links[100]
    messages = [office.desk.offer(old, f"{number}") for number in range(3)]
    office.supervisor.apply({100: link_settings(smsc.port, window=2)}, {})
    assert office.directory.links[100] is not old
    await office.bound(100)
    assert not office.supervisor.idle
    for _ in messages:
        old_session.answer_submit(await old_session.next("submit_sm"))
    await ended(*messages)
    assert [message.ends for message in messages] == [["Accepted"]] * 3
    await asyncio.wait_for(old_session.closed.wait(), 2)
    assert old_session.names()[-1] == "unbind"


async def test_a_removed_link_unbinds_and_is_unknown(smsc: RawSmsc, office: Office) -> None:
    office.supervisor.apply({100: link_settings(smsc.port)}, {})
    session = await smsc.next_bound()
    await office.bound(100)
    assert office.supervisor.apply({}, {}) == [100]
    assert not office.directory.knows(100)
    await asyncio.wait_for(session.closed.wait(), 2)
    assert session.names()[-1] == "unbind"


async def test_a_removed_link_waits_one_response_time_out_at_most(smsc: RawSmsc, office: Office) -> None:
    office.supervisor.apply({100: link_settings(smsc.port, response_timeout_s=0.2)}, {})
    session = await smsc.next_bound()
    await office.bound(100)
    message = office.desk.offer(office.directory.links[100], "silent")
    await session.next("submit_sm")
    office.supervisor.apply({}, {})
    await ended(message)
    assert message.ends == ["InDoubt"]
    await asyncio.wait_for(session.closed.wait(), 2)


async def test_stop_does_not_wait_for_links_that_retire(smsc: RawSmsc, office: Office) -> None:
    office.supervisor.apply({100: link_settings(smsc.port)}, {})
    session = await smsc.next_bound()
    await office.bound(100)
    message = office.desk.offer(office.directory.links[100], "silent")
    await session.next("submit_sm")
    office.supervisor.apply({100: link_settings(smsc.port, window=2)}, {})
    started = asyncio.get_running_loop().time()
    await office.supervisor.stop()
    assert asyncio.get_running_loop().time() - started < 1.5
    assert message.ends == ["InDoubt"]


async def test_stop_does_not_wait_for_a_store_that_holds_a_place_of_a_retiring_link(
    smsc: RawSmsc, office: Office
) -> None:
    office.desk.store_at_once = False
    office.supervisor.apply({100: link_settings(smsc.port)}, {})
    await office.bound(100)
    message = office.desk.offer(office.directory.links[100], "granted")
    office.supervisor.apply({}, {})
    async with asyncio.timeout(1.5):
        await office.supervisor.stop()
    office.desk.store()
    assert message.ends == ["NotSent"]


async def test_a_link_is_disabled_and_enabled_by_a_reload(smsc: RawSmsc, office: Office) -> None:
    office.supervisor.apply({100: link_settings(smsc.port, enabled=False)}, {})
    assert smsc.sessions == []
    office.supervisor.apply({100: link_settings(smsc.port)}, {})
    await office.bound(100)


@pytest.mark.parametrize("count", [8])  # five a second to one host
async def test_many_links_come_back_after_the_smsc_did(smsc: RawSmsc, office: Office, count: int) -> None:
    settings: dict[int, LinkSettings] = {
        number: link_settings(smsc.port, account=f"{number}", reconnect_max_s=0.1) for number in range(count)
    }
    office.supervisor.apply(settings, {})
    await office.bound(*settings)
    await smsc.stop()
    await until(lambda: not any(link.bound for link in office.directory.links.values()))
    await smsc.listen()
    await office.bound(*settings)


async def test_two_links_of_one_account_never_give_a_phone_the_same_reference_one_after_the_other(
    smsc: RawSmsc, office: Office
) -> None:
    smsc.submit_status = lambda _: 0
    settings = link_settings(smsc.port, account="shared")
    office.supervisor.apply({100: settings, 101: settings}, {})
    await office.bound(100, 101)
    references = [await a_reference(office, 100 + number % 2, f"{number}") for number in range(20)]
    # the successor of a changed link goes on where it was
    office.supervisor.apply({100: settings.model_copy(update={"window": 7}), 101: settings}, {})
    await office.bound(100)
    references.append(await a_reference(office, 100, "after"))
    first, *following = references
    assert following == [(first + number) % 0xFFFF + 1 for number in range(20)]


async def a_reference(office: Office, link_id: int, name: str) -> int:
    """What a message of two segments over this link was joined by."""
    message = office.desk.offer(office.directory.links[link_id], name, parts=2)
    await ended(message)
    return message.reference

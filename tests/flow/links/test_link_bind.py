"""The life of a link's sessions over real sockets: connect, bind, be refused, be cut, come back, stop."""

from __future__ import annotations

import asyncio
import socket

import pytest
from links_flow_kit import LiveLink, until
from raw_smsc import RawSmsc

from smsproxy.domain.outcome import InDoubt
from smsproxy.links import backoff
from smsproxy.links.connects import ConnectLimiter
from smsproxy.links.runner import LinkRunner
from smsproxy.links.transport import SmppConnection
from smsproxy.settings.secrets import Secret
from smsproxy.text.segmentation import segment
from tests.unit.links.links_kit import APP, Message

RALYBND = 0x05
RINVPASWD = 0x0E


async def test_the_bind_carries_what_the_settings_say(smsc: RawSmsc) -> None:
    settings = {"system_type": "VMA", "interface_version": 0x33, "address_range": "99890.*"}
    async with LiveLink(smsc.port, **settings) as live:
        session = await smsc.next_bound()
        bind = session.seen[0].fields
        assert session.bind == "bind_transceiver"
        assert (bind.system_id, bind.password, bind.system_type) == (b"esme", b"secret", b"VMA")
        assert (bind.interface_version, bind.address_range) == (0x33, b"99890.*")
        await live.bound()
        assert live.link.smsc_system_id == "raw smsc"
        assert live.log.events == ["link_bound"]
        assert live.log.fields("link_bound")["link_id"] == 7


async def test_stop_unbinds_and_leaves_nothing_behind(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await smsc.next_bound()
        await live.bound()
    assert session.names() == ["bind_transceiver", "unbind"]
    assert not live.link.bound
    assert live.log.events == ["link_bound", "link_unbound"]


async def test_stop_does_not_wait_for_an_unbind_resp_that_never_comes(smsc: RawSmsc) -> None:
    smsc.answers_unbind = False
    async with LiveLink(smsc.port) as live:
        session = await smsc.next_bound()
        await live.bound()
        await live.runner.stop(0.05)
        await asyncio.wait_for(session.closed.wait(), 2)


async def test_stop_cuts_a_bind_that_is_not_answered_at_once(smsc: RawSmsc) -> None:
    smsc.bind_status = None
    async with LiveLink(smsc.port) as live:
        await until(lambda: smsc.sessions and smsc.sessions[0].seen)
        started = asyncio.get_running_loop().time()
        await live.runner.stop(5)
        assert asyncio.get_running_loop().time() - started < 1
        assert live.log.events == []


async def test_what_is_in_flight_at_the_stop_is_told_before_the_stop_returns(smsc: RawSmsc) -> None:
    smsc.answers_unbind = False
    async with LiveLink(smsc.port) as live:
        await live.bound()
        message = live.offer()
        await until(lambda: smsc.sessions[0].names("submit_sm"))
        await live.runner.stop(0.05)
        assert message.outcomes == {1: InDoubt("connection lost before the answer")}


async def test_a_session_that_is_due_while_the_link_stops_does_not_come_back(smsc: RawSmsc) -> None:
    smsc.answers_unbind = False
    async with LiveLink(smsc.port, sessions=2) as live:
        first, second = await smsc.next_bound(), await smsc.next_bound()
        await until(lambda: live.link.bound and live.log.events == ["link_bound"] * 2)
        first.cut()
        await live.waits.begun()
        stop = asyncio.create_task(live.runner.stop(0.3))
        await until(lambda: second.names("unbind"))
        live.waits.end()
        await stop
    assert len(smsc.sessions) == 2


async def test_a_connect_that_comes_through_while_the_link_stops_is_not_bound(
    smsc: RawSmsc, monkeypatch: pytest.MonkeyPatch
) -> None:
    smsc.answers_unbind = False
    connect, through = LinkRunner._connect, asyncio.Event()
    begun: list[SmppConnection] = []

    async def held(runner: LinkRunner, connection: SmppConnection) -> None:
        begun.append(connection)
        if len(begun) > 1:
            await through.wait()
        await connect(runner, connection)

    monkeypatch.setattr(LinkRunner, "_connect", held)
    async with LiveLink(smsc.port, sessions=2) as live:
        first = await smsc.next_bound()
        await until(lambda: live.link.bound and len(begun) == 2)
        stop = asyncio.create_task(live.runner.stop(0.3))
        await until(lambda: first.names("unbind"))
        through.set()
        await stop
        assert live.log.events.count("link_bound") == 1


async def test_a_refused_connect_is_tried_again_after_growing_delays() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: every connect is refused
        async with LiveLink(taken.getsockname()[1], jitter=0.5, reconnect_max_s=6) as live:
            for expected in (1, 2, 4, 6):
                assert await live.waits.begun() == pytest.approx(expected * 0.875)
                live.waits.end()
            await live.waits.begun()
            assert live.log.events == ["link_connect_failed"] * 5
            assert live.log.fields("link_connect_failed")["reason"] == "Connection refused"
            assert live.log.fields("link_connect_failed")["retry_in_s"] == 0.9
            assert live.link.counters.connects_failed == 5


@pytest.mark.parametrize(
    ("status", "refusal", "delays"),
    [
        (RALYBND, "already_bound", [10, 20, 40]),
        (RINVPASWD, "credentials", [60, 120, 120]),
        (0x0F, "credentials", [60, 120, 120]),
        (0x0D, "credentials", [60, 120, 120]),
        (0x08, "temporary", [1, 2, 4]),
        (0x58, "temporary", [1, 2, 4]),
        (0x0400, "refused", [5, 10, 20]),
    ],
)
async def test_how_long_a_refused_bind_waits_depends_on_the_reason(
    smsc: RawSmsc, status: int, refusal: str, delays: list[float]
) -> None:
    smsc.bind_status = status
    async with LiveLink(smsc.port) as live:
        for expected in delays:
            assert await live.waits.begun() == expected
            live.waits.end()
        await live.waits.begun()
        assert live.log.events == ["link_bind_refused"] * 4
        assert live.log.fields("link_bind_refused")["refusal"] == refusal


async def test_an_account_that_is_still_bound_is_asked_again_with_jitter(smsc: RawSmsc) -> None:
    smsc.bind_status = RALYBND
    async with LiveLink(smsc.port, jitter=0.5) as live:
        assert await live.waits.begun() == 8.75


async def test_two_links_to_one_host_make_five_connects_a_second_between_them(smsc: RawSmsc) -> None:
    smsc.bind_status = None
    connects = ConnectLimiter()
    begun = asyncio.get_running_loop().time()
    async with (
        LiveLink(smsc.port, sessions=4, connects=connects) as one,
        LiveLink(smsc.port, sessions=4, connects=connects) as other,
    ):
        await until(lambda: len(other.waits.delays) == 3)
        took = asyncio.get_running_loop().time() - begun
        assert all(1 - took <= delay <= 1 for delay in other.waits.delays)
        await until(lambda: len(smsc.sessions) == 5)
        assert (one.link.counters.connects_delayed, other.link.counters.connects_delayed) == (0, 3)
        for _ in range(3):
            other.waits.end()
        await until(lambda: len(smsc.sessions) == 8)
        await asyncio.gather(one.stop(), other.stop())


async def test_a_refused_bind_is_one_line(smsc: RawSmsc) -> None:
    smsc.bind_status = RALYBND
    async with LiveLink(smsc.port) as live:
        await live.waits.begun()
        assert not live.link.bound
        assert live.log.events == ["link_bind_refused"]
        assert live.log.fields("link_bind_refused")["reason"] == "ESME_RALYBND 0x00000005"
        smsc.bind_status = 0
        live.waits.end()
        await live.bound()
        assert live.link.counters.binds_refused == 1


async def test_a_wrong_password_is_told_without_the_password(smsc: RawSmsc) -> None:
    smsc.bind_status = RINVPASWD
    async with LiveLink(smsc.port, password=Secret("hunter2")) as live:
        await live.waits.begun()
        assert live.log.fields("link_bind_refused")["reason"] == "ESME_RINVPASWD 0x0000000E"
        assert "hunter2" not in repr(live.log.lines)


async def test_a_silent_bind_ends_after_its_time(smsc: RawSmsc) -> None:
    smsc.bind_status = None
    async with LiveLink(smsc.port, bind_timeout_s=0.1) as live:
        assert await live.waits.begun() == 1
        assert live.log.events == ["link_bind_failed"]
        assert live.log.fields("link_bind_failed")["reason"] == "bind not answered"


async def test_a_listener_that_hangs_up_on_the_bind_is_not_asked_every_second(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        for expected in (1, 2, 4):
            session = await smsc.next_bound()
            session.hang_up()
            assert await live.waits.begun() == expected
            live.waits.end()
        assert live.log.events[:4] == ["link_bound", "link_down", "link_bound", "link_down"]
        assert live.log.fields("link_down")["reason"] == "connection closed by the SMSC"


async def test_a_session_that_lived_for_a_while_is_followed_at_once(
    smsc: RawSmsc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "STEADY_S", 0.0001)
    async with LiveLink(smsc.port) as live:
        for _ in range(3):
            session = await smsc.next_bound()
            await live.bound()
            session.send("enquire_link", 5)
            await session.next("enquire_link_resp")
            session.hang_up()
            assert await live.waits.begun() == 1
            live.waits.end()


async def test_an_unbind_from_the_smsc_is_answered_and_the_link_comes_back(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        first = await smsc.next_bound()
        first.send("unbind", 77)
        assert (await first.next("unbind_resp")).number == 77
        await asyncio.wait_for(first.closed.wait(), 2)
        await live.waits.begun()
        assert not live.link.bound
        assert live.log.fields("link_down")["reason"] == "unbound by the SMSC"
        live.waits.end()
        await smsc.next_bound()
        await live.bound()


async def test_a_reset_connection_comes_back(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        (await smsc.next_bound()).cut()
        await live.waits.begun()
        assert live.log.fields("link_down")["reason"].startswith("connection lost: ")
        live.waits.end()
        await smsc.next_bound()
        await live.bound()


async def test_a_deaf_peer_is_noticed_in_time(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, enquire_link_s=0.1, response_timeout_s=0.1) as live:
        session = await smsc.next_bound()
        await live.bound()
        session.go_deaf()
        started = asyncio.get_running_loop().time()
        await live.waits.begun()
        assert asyncio.get_running_loop().time() - started < 0.2 + 1
        assert not live.link.bound
        assert live.log.fields("link_down")["reason"] == "enquire_link not answered"


async def test_a_deaf_peer_with_a_full_socket_is_given_up_all_the_same(smsc: RawSmsc) -> None:
    """Octets that nobody takes must not keep the session, or its waiters, for ever."""
    settings = {"window": 8000, "enquire_link_s": 0.2, "response_timeout_s": 0.2}
    async with LiveLink(smsc.port, long_messages="payload", **settings) as live:
        session = await smsc.next_bound()
        await live.bound()
        session.go_deaf()
        text = segment("x" * 1530, live.link.text_options)
        messages = [Message(f"{number}", 1, APP) for number in range(8000)]
        for message in messages:  # 12 MB, more than the kernel's buffers hold
            message.text = text
            live.link.offer(message)
        await live.waits.begun()
        assert not live.link.bound
        assert {end for message in messages for end in message.ends} == {"InDoubt"}


async def test_enquire_links_keep_a_quiet_link_alive(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, enquire_link_s=0.05, response_timeout_s=0.5) as live:
        session = await smsc.next_bound()
        await until(lambda: len(session.names("enquire_link")) >= 3)
        assert live.link.bound
        assert live.log.events == ["link_bound"]


async def test_the_peer_s_enquire_link_is_answered_with_its_own_number(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port):
        session = await smsc.next_bound()
        session.send("enquire_link", 0xFFFFFFF0)
        assert (await session.next("enquire_link_resp")).number == 0xFFFFFFF0


async def test_garbage_closes_the_session_with_a_reason(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await smsc.next_bound()
        session.send_octets(b"HTTP/1.1 200 OK\r\n\r\n")
        await live.waits.begun()
        assert live.log.fields("link_down")["reason"].startswith("framing lost")


async def test_one_octet_at_a_time_is_understood(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await smsc.next_bound()
        await live.bound()
        for octet in b"\0\0\0\x10\0\0\0\x15" + bytes(8):
            session.send_octets(bytes((octet,)))
            await asyncio.sleep(0)
        await session.next("enquire_link_resp")


async def test_three_silences_in_a_row_end_the_session(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, response_timeout_s=0.05) as live:
        await live.bound()
        messages = [live.offer() for _ in range(3)]
        await live.waits.begun()
        assert [message.ends for message in messages] == [["InDoubt"]] * 3
        assert live.log.fields("link_down")["reason"] == "silent"


async def test_a_disabled_link_never_connects(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, enabled=False) as live:
        await asyncio.sleep(0)
        assert smsc.sessions == []
        assert not live.link.bound
        assert repr(live.runner).endswith("sessions=0/0>")


async def test_transmitter_and_receiver_are_two_sessions(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, bind="transmitter_receiver") as live:
        sessions = {session.bind: session for session in (await smsc.next_bound(), await smsc.next_bound())}
        await live.bound()
        message = live.offer()
        submit = await sessions["bind_transmitter"].next("submit_sm")
        sessions["bind_transmitter"].answer_submit(submit, "9")
        sessions["bind_receiver"].deliver("9")
        await until(lambda: live.desk.deliveries and message.ended)
        sessions["bind_transmitter"].cut()
        await live.waits.begun()
        assert not live.link.bound  # the receiver alone submits nothing
        assert sorted(live.log.events) == ["link_bound", "link_bound", "link_down"]
        assert live.log.fields("link_down")["bind"] == "transmitter"


async def test_a_fault_of_ours_does_not_leave_the_link_down(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await smsc.next_bound()
        await live.bound()
        detach = live.link.detach

        def broken(gone: object) -> None:
            live.link.detach = detach
            detach(gone)
            raise RuntimeError("a bug")

        live.link.detach = broken
        session.cut()
        await live.waits.begun()
        assert live.log.events == ["link_bound", "link_session_fault", "link_failed"]
        live.waits.end()
        await live.bound()


async def test_a_connect_that_nobody_answers_ends_with_the_time_for_connect_and_bind() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        crowd = [socket.socket() for _ in range(4)]  # the backlog is full: further connects hang
        try:
            for one in crowd:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            async with LiveLink(full.getsockname()[1], bind_timeout_s=0.1) as live:
                await live.waits.begun()
                assert live.log.fields("link_connect_failed")["reason"] == "timed out"
        finally:
            for one in crowd:
                one.close()

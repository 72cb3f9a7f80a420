"""Problems 21-42 of users of other gateways: sessions that die unseen, queues that stop, rates that lie."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from field_kit import Gateway, an_smsc, gateway, until

from smsproxy.domain.outcome import Answer, Status
from smsproxy.settings.secrets import Secret
from smsproxy.simulator.script import Rule
from tests.flow.links.links_flow_kit import LiveLink
from tests.flow.links.raw_smsc import RawSmsc

THREE_PARTS = "A long message. " * 25
SOON = {"reconnect_max_s": 0.05}


async def send_many(gate: Gateway, count: int, text: str = "hello") -> list[Answer]:
    """To as many phones, all at once."""
    return await asyncio.gather(*(gate.send(text, daddr=f"99890{number:07d}") for number in range(count)))


def seconds_of(gate: Gateway) -> float:
    """From the first submit to the last, as the SMSC saw them."""
    submits = gate.smsc.truth.submits()
    return submits[-1].at - submits[0].at


# --- 21-36: life of a session ----------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["none", "empty", "id"])
async def test_a_refusal_with_or_without_a_body_refuses_one_message_and_the_next_goes_out(
    tmp_path: Path, body: str
) -> None:
    async with gateway(tmp_path, Rule(do="error", status=0x0B, at_most=1), error_body=body) as gate:
        refused = await gate.send()
        assert (refused.status, refused.error) == (Status.REJECTED, "segment 1: ESME_RINVDSTADR 0x0000000B")
        await gate.taken()
        assert gate.link.counters.binds == 1


async def test_a_generic_nack_without_a_number_closes_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path, Rule(do="nack_zero", at_most=1)) as gate:
        await gate.taken()
        await gate.taken()
        assert gate.link.counters.unexpected == 1
        assert gate.link.counters.binds == 1


async def test_a_peer_that_went_silent_is_left_and_what_was_under_way_reads_unknown(tmp_path: Path) -> None:
    timers = {"enquire_link_s": 0.1, "response_timeout_s": 0.2}
    async with gateway(tmp_path, link={**timers, **SOON}) as gate:
        gate.smsc.script = replace(gate.smsc.script, deaf=True)
        answers = await send_many(gate, 5)
        assert {answer.status for answer in answers} == {Status.UNKNOWN}
        await until(lambda: not gate.link.bound)
        assert gate.link.in_flight == 0
        gate.smsc.script = replace(gate.smsc.script, deaf=False)
        await until(lambda: gate.link.bound)
        await gate.taken()


async def test_the_old_session_is_unbound_before_the_daemon_ends_so_that_the_next_bind_is_taken(
    tmp_path: Path,
) -> None:
    async with an_smsc() as smsc:
        async with LiveLink(smsc.port) as live:
            await live.bound()
        assert (smsc.counters.unbinds, smsc.counters.bound) == (1, 0)


async def test_messages_under_way_at_an_unbind_of_the_smsc_are_answered_and_the_next_ones_go_out(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, unbind_after_submits=5, link={"window": 5, **SOON}) as gate:
        for life in range(1, 4):
            await until(lambda life=life: gate.link.counters.binds == life)
            answers = await send_many(gate, 5)
            assert {answer.status for answer in answers} == {Status.SUBMITTED}
        assert gate.smsc.counters.submits == 15


async def test_a_link_that_flaps_again_and_again_never_stops_sending(tmp_path: Path) -> None:
    async with gateway(tmp_path, cut_after_submits=7, link={"window": 5, **SOON}) as gate:
        for turn in range(15):
            await until(lambda: gate.link.bound)
            ends = {answer.status for answer in await send_many(gate, 10, f"turn {turn}")}
            assert ends <= {Status.SUBMITTED, Status.UNKNOWN, Status.UNAVAILABLE}
        gate.smsc.script = replace(gate.smsc.script, cut_after_submits=0)
        await until(lambda: gate.link.bound)
        await gate.taken()
        assert gate.smsc.counters.cuts >= 10
        assert gate.link.idle
        assert not gate.smsc.truth.duplicates()


async def test_pdus_that_come_octet_by_octet_are_understood(tmp_path: Path) -> None:
    async with gateway(tmp_path, dribble_bytes=1) as gate:
        answers = await send_many(gate, 20, THREE_PARTS)
        await gate.delivered(*answers)


async def test_a_password_of_more_than_eight_octets_goes_out_whole_where_the_smsc_takes_it() -> None:
    password = "a-password-of-26-characters"
    async with RawSmsc() as smsc:
        secret = {"password": Secret(password), "allow_long_password": True}
        async with LiveLink(smsc.port, **secret) as live:
            session = await smsc.next_bound()
            await live.bound()
            assert b"esme\0" + password.encode() + b"\0" in session.seen[0].octets


# --- 37-42: how fast, and not faster ---------------------------------------------------------------------


@pytest.mark.parametrize("sessions", [1, 4])
async def test_the_rate_is_sessions_times_window_over_latency_and_not_one_message_at_a_time(
    tmp_path: Path, sessions: int
) -> None:
    link = {"window": 10, "sessions": sessions}
    async with gateway(tmp_path, answer_delay_s=0.05, link=link) as gate:
        await until(lambda: gate.link.counters.binds == sessions)
        answers = await send_many(gate, 100 * sessions)
        assert {answer.status for answer in answers} == {Status.SUBMITTED}
        assert gate.smsc.counters.max_outstanding == 10
        assert 0.45 * 0.9 < seconds_of(gate) < 2.5  # ten windows of 50 ms; one at a time takes 5 s


async def test_every_part_of_a_long_message_costs_its_token_so_the_smsc_never_throttles(
    tmp_path: Path,
) -> None:
    link = {"rate_per_s": 200, "burst": 10}
    async with gateway(tmp_path, throttle_per_s=200.0, throttle_burst=20, link=link) as gate:
        answers = await send_many(gate, 30, THREE_PARTS)
        assert {answer.status for answer in answers} == {Status.SUBMITTED}
        assert gate.smsc.counters.throttled == 0
        assert seconds_of(gate) > 80 / 200 * 0.9


async def test_a_message_of_ten_parts_never_takes_more_than_the_window(tmp_path: Path) -> None:
    async with gateway(tmp_path, answer_delay_s=0.005, link={"window": 4}) as gate:
        answer = await gate.taken("x" * 1530)
        assert len(answer.smsc_ids) == 10
        assert gate.smsc.counters.max_outstanding == 4


async def test_requests_that_are_never_answered_are_not_kept_for_ever(tmp_path: Path) -> None:
    link = {"window": 10, "response_timeout_s": 0.2}
    async with gateway(tmp_path, Rule(do="silent", every=10), link=link, answer_delay_s=0.02) as gate:
        ends = [answer.status for answer in await send_many(gate, 100)]
        assert set(ends) == {Status.SUBMITTED, Status.UNKNOWN}
        assert ends.count(Status.UNKNOWN) >= 10
        assert gate.link.idle
        assert gate.app.pipeline.idle

"""The contact policy: refused before anything is sent, given back when nothing was sent (spec §5)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import pytest
from fake_time import in_fake_time
from pipeline_bench import Bench, FakePolicy, at_once, failing, slow

from smsproxy.domain.outcome import InDoubt, Refused
from smsproxy.pipeline import contact
from smsproxy.policy.base import PolicyRequest, Verdict

REFUSED = Refused(0x0B, "ESME_RINVDSTADR 0x0000000B")


@pytest.mark.parametrize("word", ["daily_cp", "weekly_cp", "duplicate", "blacklist"])
@in_fake_time
async def test_a_refusal_is_told_in_the_word_of_the_policy(word: str) -> None:
    bench = Bench()
    bench.policy.verdicts["cp1"] = Verdict(word)
    sent = bench.send(strategy="cp1")
    await bench.settle()
    assert (sent.status, sent.answer.message_id) == (word, "")
    assert bench.store.calls == []
    assert bench.policy.calls == ["reserve"], "a refusal reserves nothing, so nothing is given back"
    bench.assert_at_rest()


@in_fake_time
async def test_a_message_without_a_strategy_is_nobodys_business() -> None:
    bench = Bench()
    sent = bench.send()
    await bench.answer_all()
    assert sent.status == "submitted"
    assert bench.policy.calls == []


@in_fake_time
async def test_a_policy_that_cannot_decide_is_unavailable() -> None:
    bench = Bench()
    bench.policy.hook = failing("reserve")
    sent = bench.send(strategy="cp1")
    await bench.settle()
    assert (sent.status, sent.answer.error) == ("unavailable", "the contact policy is not available")
    bench.assert_at_rest()


@in_fake_time
async def test_the_policy_is_told_normalised_numbers_and_a_hash_instead_of_the_text() -> None:
    asked: list[PolicyRequest] = []

    class Listening(FakePolicy):
        async def reserve(self, batch: Sequence[PolicyRequest]) -> list[Verdict]:
            asked.extend(batch)
            return await super().reserve(batch)

    bench = Bench()
    bench.pipeline._contact._engine = Listening()
    sent = bench.send("hello", strategy="cp1", daddr="+998901234567", saddr="+1234", task_id=7)
    await bench.answer_all()
    digest = hashlib.sha256(b"hello").digest()
    assert asked == [PolicyRequest(sent.job.message_id, "cp1", 1, "998901234567", "1234", digest, 7)]


@in_fake_time
async def test_what_is_accepted_or_in_doubt_stays_counted() -> None:
    bench = Bench()
    accepted = bench.send(strategy="cp1")
    await bench.answer_all()
    doubtful = bench.send(strategy="cp1")
    await bench.answer_all(InDoubt("no answer from the SMSC in time"))
    assert bench.policy.counted == {accepted.job.message_id, doubtful.job.message_id}
    assert bench.policy.calls == ["reserve", "reserve"]


@in_fake_time
async def test_a_count_is_given_back_before_the_answer() -> None:
    bench = Bench()
    bench.policy.hook = slow(0.5, "release")
    sent = bench.send(strategy="cp1")
    await bench.answer_all(REFUSED)
    assert not sent.replies
    await asyncio.sleep(0.6)
    assert sent.status == "rejected"
    assert bench.policy.counted == set()


@in_fake_time
async def test_a_count_that_cannot_be_given_back_does_not_hold_the_answer_and_is_tried_again() -> None:
    bench = Bench()
    sent = bench.send(strategy="cp1")
    await bench.settle()
    bench.policy.hook = failing("release")
    await bench.answer_all(REFUSED)
    assert sent.status == "rejected"
    assert bench.policy.counted
    assert bench.pipeline.late_releases == 1
    await asyncio.sleep(30)
    bench.policy.hook = at_once
    await asyncio.sleep(1.0)
    assert bench.policy.counted == set(), "within a second of the engine's return (spec §5)"
    assert bench.pipeline.counters["policy_releases_delayed"] == 1
    bench.assert_at_rest()


@in_fake_time
async def test_a_message_sent_again_while_its_old_count_waits_to_be_given_back_stays_counted() -> None:
    bench = Bench()
    bench.send(transaction_id="t", strategy="cp1")
    await bench.settle()
    bench.policy.hook = failing("release")
    await bench.answer_all(REFUSED)
    again = bench.send(transaction_id="t", strategy="cp1")
    await bench.answer_all()
    assert again.status == "submitted"
    bench.policy.hook = at_once
    await asyncio.sleep(5)
    assert bench.policy.counted == {again.job.message_id}
    bench.assert_at_rest()


@in_fake_time
async def test_a_message_refused_again_while_its_old_count_waits_loses_it_all_the_same() -> None:
    bench = Bench()
    bench.send(transaction_id="t", strategy="cp1")
    await bench.settle()
    bench.policy.hook = failing("release")
    await bench.answer_all(REFUSED)
    bench.policy.verdicts["cp1"] = Verdict.BLACKLIST
    again = bench.send(transaction_id="t", strategy="cp1")
    await bench.settle()
    assert again.status == "blacklist"
    assert bench.policy.counted
    bench.policy.hook = at_once
    await asyncio.sleep(1)
    assert bench.policy.counted == set()
    bench.assert_at_rest()


@in_fake_time
async def test_a_late_count_is_not_forgotten_when_its_turn_comes_while_the_message_is_asked_for_again() -> (
    None
):
    bench = Bench()
    bench.send(transaction_id="t", strategy="cp1")
    await bench.settle()
    bench.policy.hook = failing("release")
    await bench.answer_all(REFUSED)
    bench.policy.hook = slow(1.0, "reserve")
    bench.policy.verdicts["cp1"] = Verdict.DAILY_CP
    bench.send(strategy="cp1")  # the engine is busy when the late count is due
    await asyncio.sleep(0.5)
    again = bench.send(transaction_id="t", strategy="cp1")
    await asyncio.sleep(3)
    assert again.status == "daily_cp"
    assert bench.policy.counted == set()
    bench.assert_at_rest()


@in_fake_time
async def test_a_slow_release_and_a_new_reservation_of_one_message_never_overlap() -> None:
    bench = Bench()
    first = bench.send(transaction_id="t", strategy="cp1")
    await bench.settle()
    bench.policy.hook = failing("release")
    await bench.answer_all(REFUSED)
    bench.policy.hook = slow(1.0, "release", "reserve")
    await asyncio.sleep(0.5)  # the late release is under way
    again = bench.send(transaction_id="t", strategy="cp1")
    await asyncio.sleep(3)
    await bench.answer_all()
    assert (first.status, again.status) == ("rejected", "submitted")
    assert bench.policy.counted == {again.job.message_id}
    bench.assert_at_rest()


@in_fake_time
async def test_giving_back_and_asking_go_to_the_engine_together_the_former_first() -> None:
    bench = Bench()
    first = bench.send(strategy="cp1")
    await bench.settle()
    bench.policy.hook = slow(1.0, "reserve", "release")
    bench.send(strategy="cp1")
    await bench.settle()
    bench.link.answer(REFUSED)
    third = bench.send(strategy="cp1")
    await asyncio.sleep(2.1)
    assert bench.policy.calls[1:] == ["reserve", "release", "reserve"]
    assert first.status == "rejected"
    assert third.job.reservation is not None, "it did not wait for the release"
    await bench.answer_all()
    bench.assert_at_rest()


@in_fake_time
async def test_counts_to_give_back_are_bounded_and_the_oldest_stays_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contact, "LATE_MAX", 3)
    bench = Bench()
    sent = [bench.send(strategy="cp1") for _ in range(5)]
    await bench.settle()
    bench.policy.hook = failing("release")
    await bench.answer_all(REFUSED)
    bench.policy.hook = at_once
    await asyncio.sleep(1)
    assert bench.policy.counted == {one.job.message_id for one in sent[:2]}
    assert bench.pipeline.counters["policy_releases_lost"] == 2
    bench.assert_at_rest()


@in_fake_time
async def test_what_an_engine_may_have_counted_without_a_word_is_given_back() -> None:
    bench = Bench()
    bench.policy.verdicts["cp1"] = Verdict.UNAVAILABLE
    sent = bench.send(strategy="cp1")
    bench.policy.counted.add(sent.job.message_id)
    bench.policy.doubtful = [PolicyRequest(sent.job.message_id, "cp1", 1, "998901234567", "BRAND", b"")]
    await bench.settle()
    assert sent.status == "unavailable"
    assert bench.pipeline.late_releases == 1
    await asyncio.sleep(1.0)
    assert bench.policy.counted == set(), "within a second (spec §5)"
    bench.assert_at_rest()

"""The same request again (spec §2.3): never submitted twice, always answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from fake_time import in_fake_time
from pipeline_bench import LONG, OTHER, POOL, Bench, FaultyStore, failing, slow

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.outcome import Accepted, InDoubt, NotSent, Refused, SegmentOutcome
from smsproxy.domain.record import MessageRecord, SegmentRecord, SegmentState
from smsproxy.pipeline import repeat
from smsproxy.pipeline.repeats import GRACE_S
from smsproxy.policy.base import Verdict
from smsproxy.stores.base import Intent, ReceiptMode

REFUSED = Refused(0x0B, "ESME_RINVDSTADR 0x0000000B")


def a_record(*segments: tuple[SegmentState, str]) -> MessageRecord:
    return MessageRecord(
        bytes(16), 1, 100, "t", 0, 0.0, [SegmentRecord(state, smsc_id) for state, smsc_id in segments]
    )


@in_fake_time
async def test_a_repeat_in_flight_waits_and_gets_the_same_end() -> None:
    bench = Bench()
    first = bench.send(LONG, transaction_id="t", task_id=1)
    repeats = [bench.send(LONG, transaction_id="t", task_id=n, daddr="+998901234567") for n in (2, 3)]
    await bench.settle()
    assert not any(sent.replies for sent in bench.sent)
    await bench.answer_all()
    assert len(bench.link.written) == 3
    for number, sent in enumerate(repeats, 2):
        assert (sent.status, sent.answer.repeated, sent.answer.task_id) == ("submitted", True, number)
        assert sent.answer.smsc_ids == first.answer.smsc_ids
        assert sent.answer.message_id == first.answer.message_id
    assert first.answer.repeated is False
    assert bench.pipeline.counters["repeats_followed"] == 2
    bench.assert_at_rest()


@pytest.mark.parametrize("changed", [{"route_id": OTHER}, {"saddr": "OTHER"}, {"strategy": "cp2"}])
@in_fake_time
async def test_link_sender_and_strategy_of_a_repeat_are_ignored(changed: dict[str, object]) -> None:
    bench = Bench(links=2)
    bench.send(transaction_id="t")
    await bench.answer_all()
    again = bench.send(transaction_id="t", **changed)
    await bench.answer_all()
    assert (again.status, again.answer.repeated, again.answer.route_id) == ("submitted", True, 100)
    assert bench.links[1].written == []
    assert bench.policy.calls == []


@pytest.mark.parametrize(
    "changed", [{"text": "other"}, {"daddr": "998901234568"}, {"transaction_id": "u"}, {"transaction_id": ""}]
)
@in_fake_time
async def test_another_text_number_or_transaction_id_is_another_request(changed: dict[str, str]) -> None:
    bench = Bench()
    bench.send(transaction_id="t")
    again = bench.send(**{"text": "hello", "transaction_id": "t", **changed})
    await bench.answer_all()
    assert (again.status, again.answer.repeated) == ("submitted", False)
    assert len(bench.link.written) == 2


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([Accepted("a"), Accepted("b"), Accepted("c")], "submitted"),
        ([Accepted("a"), InDoubt("silent"), Accepted("c")], "unknown"),
        ([InDoubt("silent"), REFUSED, InDoubt("silent")], "unknown"),
        ([Accepted("a"), REFUSED, Accepted("c")], "rejected"),
        ([Accepted(""), Accepted(""), Accepted("")], "submitted"),
    ],
)
@in_fake_time
async def test_what_a_handset_has_or_may_have_is_answered_from_the_record_and_not_sent_again(
    outcomes: list[SegmentOutcome], status: str
) -> None:
    bench = Bench()
    first = bench.send(LONG, transaction_id="t")
    follower = bench.send(LONG, transaction_id="t")
    await bench.answer_all(lambda _, number: outcomes[number - 1])
    later = bench.send(LONG, transaction_id="t")
    await bench.answer_all()
    assert first.status == status
    for sent in (follower, later):
        assert (sent.status, sent.answer.repeated) == (status, True)
        assert sent.answer.smsc_ids == first.answer.smsc_ids
        assert sent.answer.message_id == first.answer.message_id
    assert len(bench.link.written) == 3
    bench.assert_at_rest()


@in_fake_time
async def test_a_message_refused_as_a_whole_is_tried_anew_under_the_same_message_id() -> None:
    bench = Bench()
    first = bench.send(LONG, transaction_id="t", strategy="cp1")
    await bench.answer_all(REFUSED)
    again = bench.send(LONG, transaction_id="t", strategy="cp1")
    await bench.answer_all()
    assert first.status == "rejected"
    assert (again.status, again.answer.repeated) == ("submitted", False)
    assert again.answer.message_id == first.answer.message_id
    assert bench.policy.counted == {again.job.message_id}
    bench.assert_at_rest()


@in_fake_time
async def test_followers_of_a_refused_message_take_turns_and_exactly_one_sends_it() -> None:
    bench = Bench()
    sent = [bench.send(transaction_id="t") for _ in range(10)]
    await bench.settle()
    bench.link.answer(REFUSED)
    await bench.answer_all()
    assert [one.status for one in sent] == ["rejected"] + ["submitted"] * 9
    assert [one.answer.repeated for one in sent] == [False, False] + [True] * 8
    assert len(bench.link.written) == 2
    bench.assert_at_rest()


@in_fake_time
async def test_a_message_refused_by_the_policy_is_asked_anew() -> None:
    bench = Bench()
    bench.policy.verdicts["cp1"] = Verdict.DAILY_CP
    sent = [bench.send(transaction_id="t", strategy="cp1") for _ in range(3)]
    await bench.settle()
    assert [one.status for one in sent] == ["daily_cp"] * 3
    bench.policy.verdicts.clear()
    again = bench.send(transaction_id="t", strategy="cp1")
    await bench.answer_all()
    assert (again.status, again.answer.repeated) == ("submitted", False)
    bench.assert_at_rest()


@in_fake_time
async def test_a_repeat_waits_at_most_the_response_timeout_and_five_seconds() -> None:
    bench = Bench(response_timeout_s=2)
    first = bench.send(transaction_id="t")
    repeat_ = bench.send(transaction_id="t", task_id=4)
    await asyncio.sleep(2 + GRACE_S - 0.01)
    assert not repeat_.replies
    await asyncio.sleep(0.02)
    answer = repeat_.answer
    assert (answer.status.value, answer.repeated, answer.task_id) == ("unknown", True, 4)
    assert answer.message_id == first.job.shown_id
    assert bench.pipeline.counters["repeats_timed_out"] == 1
    await bench.answer_all()
    assert first.status == "submitted"
    bench.assert_at_rest()


@in_fake_time
async def test_a_storm_of_repeats_that_is_refused_costs_two_submits_whatever_its_size() -> None:
    bench = Bench(response_timeout_s=2)
    sent = [bench.send(transaction_id="t") for _ in range(200)]
    for _ in range(2):
        await asyncio.sleep(1)
        bench.link.answer(REFUSED)
    await bench.answer_all()
    assert [one.status for one in sent] == ["rejected"] * 200
    assert not any(one.answer.repeated for one in sent)
    assert len(bench.link.written) == 2
    bench.assert_at_rest()


@in_fake_time
async def test_the_one_that_tries_anew_does_not_wait_for_anybody() -> None:
    bench = Bench(response_timeout_s=2)
    sent = [bench.send(transaction_id="t") for _ in range(5)]
    await asyncio.sleep(1)
    bench.link.answer(REFUSED)
    await asyncio.sleep(2)
    assert [len(one.replies) for one in sent] == [1, 0, 0, 0, 0]
    assert sent[1].job.timer is None
    await bench.answer_all()
    assert [one.status for one in sent] == ["rejected"] + ["submitted"] * 4
    bench.assert_at_rest()


@in_fake_time
async def test_a_follower_gives_up_at_its_own_deadline_and_is_in_doubt() -> None:
    bench = Bench()
    bench.send(transaction_id="t")
    repeat_ = bench.send(transaction_id="t", deadline=asyncio.get_running_loop().time() + 1)
    await asyncio.sleep(1.01)
    assert repeat_.status == "unknown", "not expired: the first send may reach the handset yet"
    await bench.answer_all()
    bench.assert_at_rest()


@in_fake_time
async def test_an_intent_of_a_dead_process_answers_unknown_at_once() -> None:
    bench = Bench()
    ours = bench.send(transaction_id="t")
    await bench.settle()
    store = bench.store
    later = Bench(store=store)
    again = later.send(transaction_id="t")
    await later.settle()
    assert (again.status, again.answer.repeated) == ("unknown", True)
    assert again.answer.error == "segment 1: no answer from the SMSC is recorded"
    assert later.link.written == []
    later.assert_at_rest()
    assert not ours.replies


@in_fake_time
async def test_a_look_up_that_fails_is_unavailable_and_nothing_was_sent() -> None:
    bench = Bench()
    bench.store.hook = failing("find")
    sent = [bench.send(transaction_id="t") for _ in range(3)]
    await bench.settle()
    assert [one.status for one in sent] == ["unavailable"] * 3
    assert bench.link.written == []
    bench.assert_at_rest()


class SharedStore(FaultyStore):
    """Another instance writes as well: `rival` is its intent, stored right before ours."""

    rival: Intent | None = None
    gone = False

    async def create(self, intents: Sequence[Intent]) -> list[bool]:
        if self.rival is not None:
            rival, self.rival = self.rival, None
            rival.message_id = intents[0].message_id
            rival.replaces = intents[0].replaces
            assert await super().create([rival]) == [True]
            del self.intents[rival.message_id]
        if self.gone:
            return [False] * len(intents)
        return await super().create(intents)


def a_rival() -> Intent:
    return Intent(bytes(16), 1, 555, "them", "t", 0, 0, 1, ReceiptMode.ALL, 0.0)


@in_fake_time
async def test_a_request_that_another_instance_sends_first_answers_with_its_record() -> None:
    store = SharedStore()
    bench = Bench(store=store)
    store.rival = a_rival()
    sent = bench.send(transaction_id="t", strategy="cp1")
    await bench.settle()
    assert (sent.status, sent.answer.route_id, sent.answer.repeated) == ("unknown", 555, True)
    assert bench.link.written == []
    assert bench.policy.counted == {sent.job.message_id}, "it stands for the other's message"
    bench.assert_at_rest()


@in_fake_time
async def test_of_two_instances_exactly_one_takes_a_refused_record_over() -> None:
    store = SharedStore()
    bench = Bench(store=store)
    bench.send(transaction_id="t")
    await bench.answer_all(REFUSED)
    store.rival = a_rival()
    again = bench.send(transaction_id="t")
    await bench.settle()
    assert (again.status, again.answer.route_id) == ("unknown", 555)
    assert len(bench.link.written) == 1
    bench.assert_at_rest()


@in_fake_time
async def test_a_request_that_another_instance_took_and_gave_up_is_sent() -> None:
    store = SharedStore()
    bench = Bench(store=store)
    store.gone = True
    sent = bench.send(LONG, transaction_id="t", strategy="cp1")

    async def back(call: str) -> None:
        if call == "find":  # of its second look
            store.gone = False

    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bench.store.hook = back
    await bench.answer_all()
    assert (sent.status, sent.answer.repeated) == ("submitted", False)
    assert store.calls.count("find") == 2
    assert bench.policy.counted == {sent.job.message_id}
    bench.assert_at_rest()


@in_fake_time
async def test_the_count_of_a_message_that_another_instance_sent_is_not_ours_to_give_back() -> None:
    store = SharedStore()
    bench = Bench(store=store)
    store.rival = a_rival()
    sent = bench.send(transaction_id="t", strategy="cp1")

    async def away_after_the_create(call: str) -> None:
        if call == "find" and store.rival is None:
            raise StoreUnavailableError(call)

    store.hook = away_after_the_create
    await bench.settle()
    assert sent.status == "unavailable"
    assert bench.policy.counted == {sent.job.message_id}
    bench.assert_at_rest()


@in_fake_time
async def test_a_request_that_others_keep_taking_and_giving_up_is_unavailable_in_the_end() -> None:
    store = SharedStore()
    bench = Bench(store=store)
    store.gone = True
    sent = bench.send(transaction_id="t")
    await bench.settle()
    assert (sent.status, sent.answer.error) == ("unavailable", "others send the same request")
    assert bench.link.written == []
    bench.assert_at_rest()


@in_fake_time
async def test_a_takeover_that_is_not_written_leaves_the_request_free_to_be_sent() -> None:
    bench = Bench(links=2)
    bench.send(transaction_id="t", route_id=POOL)
    await bench.answer_all(REFUSED)
    bench.store.hook = slow(1.0, "create")
    again = bench.send(transaction_id="t", route_id=POOL)
    await bench.settle()
    bench.links[0].lose(NotSent("nothing was written"))
    await asyncio.sleep(3)
    await bench.answer_all()
    assert (again.status, again.answer.route_id) == ("submitted", OTHER)
    assert bench.store.intents[again.job.message_id].replaces == 0, "there is nothing to take over any more"
    bench.assert_at_rest()


# -- the rules by themselves --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segments", "anew"),
    [
        ([(SegmentState.REJECTED, "")], True),
        ([(SegmentState.NOT_SENT, "")], True),
        ([(SegmentState.REJECTED, ""), (SegmentState.NOT_SENT, "")], True),
        ([(SegmentState.REJECTED, "a")], False),  # accepted, and the receipt said REJECTD
        ([(SegmentState.UNKNOWN, "")], False),
        ([(SegmentState.SUBMITTING, "")], False),
        ([(SegmentState.SUBMITTED, ""), (SegmentState.REJECTED, "")], False),
    ],
)
def test_only_a_record_of_which_no_handset_can_have_anything_may_be_tried_anew(
    segments: list[tuple[SegmentState, str]], anew: bool
) -> None:
    assert repeat.may_try_anew(a_record(*segments)) is anew


@in_fake_time
async def test_a_repeat_tells_the_end_of_then_whatever_receipts_said_since() -> None:
    message = Bench().send(transaction_id="t").message
    for state in (SegmentState.DELIVERED, SegmentState.UNDELIVERABLE, SegmentState.EXPIRED):
        answer = repeat.recorded_answer(a_record((state, "a"), (SegmentState.REJECTED, "b")), message)
        assert (answer.status.value, answer.smsc_ids) == ("submitted", ("a", "b"))
        assert repeat.counts_as_sent(answer)
    answer = repeat.recorded_answer(
        a_record((SegmentState.REJECTED, ""), (SegmentState.DELIVERED, "")), message
    )
    assert (answer.status.value, answer.error) == ("rejected", "segment 1: not sent")

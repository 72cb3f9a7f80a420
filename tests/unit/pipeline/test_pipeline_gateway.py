"""What a door may ask beside submitting: links, texts, records, callers; and the housekeeping."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from typing import cast

import pytest
from fake_time import in_fake_time
from pipeline_bench import LINK, LONG, OTHER, POOL, Bench, a_caller, a_log, a_message, failing

from smsproxy.auth.base import Authenticator
from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import ForbiddenError, NotFoundError, StoreUnavailableError
from smsproxy.domain.outcome import Answer, InDoubt
from smsproxy.domain.record import SegmentState
from smsproxy.pipeline.attempts import Attempts
from smsproxy.pipeline.gateway import Core
from smsproxy.pipeline.janitor import PASS_S, run_janitor
from smsproxy.pipeline.measure import measure
from smsproxy.pipeline.ports import Gateway, Lane, TextMeasure
from smsproxy.text.segmentation import TextOptions


class Doorman:
    """Lets everybody in as app 1."""

    async def authenticate(self, authorization: str | None, app_id: str | None, address: str) -> Caller:
        return a_caller(expires_at=time.time() + 1)

    def authenticate_again(self, authorization: str | None, app_id: str | None) -> Caller:
        return a_caller(expires_at=time.time() + 2)


def a_core(bench: Bench) -> Core:
    return Core(
        bench.pipeline,
        bench.store,
        bench.routes,
        cast(Authenticator, Doorman()),
        receipt_timeout_s=172_800,
        default_text=TextOptions(max_segments=2),
    )


@in_fake_time
async def test_ready_between_the_start_and_the_drain() -> None:
    bench = Bench()
    core: Gateway = a_core(bench)
    assert not core.ready
    a_started = a_core(bench)
    a_started.started = True
    assert a_started.ready
    bench.pipeline.draining = True
    assert not a_started.ready


@in_fake_time
async def test_a_door_authenticates_and_submits() -> None:
    bench = Bench()
    core = a_core(bench)
    caller = await core.authenticate("Bearer x", "1", "127.0.0.1")
    assert caller.expires_at > time.time()
    assert core.authenticate_again("Bearer x", "1").expires_at > caller.expires_at
    replies: list[tuple[int, Answer]] = []
    ticket = core.submit(
        a_message(), caller, Lane.UNARY, lambda tag, answer: replies.append((tag, answer)), 9
    )
    assert not ticket.cancel()
    await bench.answer_all()
    assert [(tag, answer.success) for tag, answer in replies] == [(9, True)]


@in_fake_time
async def test_a_link_can_submit_while_bound_a_pool_while_any_member_is() -> None:
    bench = Bench(links=2)
    core, caller = a_core(bench), a_caller()
    assert core.link_status(caller, LINK) == (True, "SMSC")
    bench.links[0].bound = False
    assert core.link_status(caller, LINK) == (False, "me")
    assert core.link_status(caller, POOL) == (True, "SMSC")
    bench.links[1].smsc_system_id = ""
    assert core.link_status(caller, POOL) == (True, "me")
    assert core.link_bound(LINK) is False
    assert core.link_bound(OTHER) is True
    assert core.link_bound(POOL) is None


@in_fake_time
async def test_unknown_links_are_not_found_and_foreign_ones_forbidden() -> None:
    core = a_core(Bench())
    with pytest.raises(NotFoundError, match="no link or pool 404"):
        core.link_status(a_caller(), 404)
    with pytest.raises(ForbiddenError, match="100 is not allowed"):
        core.measure(a_caller(esmes=frozenset({POOL})), LINK, "x")


@in_fake_time
async def test_a_text_is_measured_as_the_link_would_send_it() -> None:
    bench = Bench(links=2)
    bench.links[0].text_options = TextOptions(long_messages="udh16")
    core, caller = a_core(bench), a_caller()
    text = "x" * 306
    assert core.measure(caller, LINK, text).parts == 3
    assert core.measure(caller, OTHER, text).parts == 2
    assert core.measure(caller, POOL, text).parts == 3, "a pool: the member that needs most"
    for route_id in (LINK, OTHER):
        sent = bench.send(text, route_id=route_id)
        await bench.settle()
        assert sent.job.text.parts == core.measure(caller, route_id, text).parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", TextMeasure("GSM7", 0, 0, 0)),
        ("hello", TextMeasure("GSM7", 5, 1, 5)),
        ("x€", TextMeasure("GSM7", 2, 1, 3)),
        ("привет", TextMeasure("UCS2", 6, 1, 6)),
        (
            LONG,
            TextMeasure("GSM7", 400, 3, 400, "text: the text needs 3 segments, at most 2 are allowed"),
        ),
    ],
)
@in_fake_time
async def test_without_a_link_the_defaults_measure(text: str, expected: TextMeasure) -> None:
    assert a_core(Bench()).measure(a_caller(), 0, text) == expected


def test_a_text_that_no_alphabet_holds_is_told_as_such() -> None:
    found = measure("\ud800", [TextOptions()])
    assert found.error.startswith("text: ")
    assert (found.alphabet, found.parts) == ("", 0)


# -- SmsInfo ------------------------------------------------------------------------------------------------


@in_fake_time
async def test_a_record_is_found_by_the_link_used_and_by_a_pool_that_holds_it() -> None:
    bench = Bench(links=2)
    core, caller = a_core(bench), a_caller()
    sent = bench.send(route_id=POOL)
    await bench.answer_all()
    for route_id in (LINK, POOL):
        record = await core.message_info(caller, route_id, sent.answer.message_id.upper())
        assert record is not None
        assert record.smsc_ids == sent.answer.smsc_ids
    assert await core.message_info(caller, OTHER, sent.answer.message_id) is None


@in_fake_time
async def test_unknown_malformed_and_foreign_messages_are_all_not_there() -> None:
    bench = Bench()
    core = a_core(bench)
    sent = bench.send()
    await bench.answer_all()
    assert await core.message_info(a_caller(app_id=2), LINK, sent.answer.message_id) is None
    assert await core.message_info(a_caller(), LINK, str(uuid.uuid4())) is None
    for text in ("", "x", f"{{{sent.answer.message_id}}}", sent.answer.message_id.replace("-", "")):
        assert await core.message_info(a_caller(), LINK, text) is None


@in_fake_time
async def test_an_old_intent_without_a_result_reads_as_unknown() -> None:
    bench = Bench()
    core = a_core(bench)
    sent = bench.send()
    await bench.settle()
    message_id = sent.job.shown_id
    record = await core.message_info(a_caller(), LINK, message_id)
    assert record is not None
    assert record.status is SegmentState.SUBMITTING
    stored = bench.store.intents[sent.job.message_id]
    await bench.store.withdraw([stored])
    stored.created_at -= 61
    await bench.store.create([stored])
    record = await core.message_info(a_caller(), LINK, message_id)
    assert record is not None
    assert record.status is SegmentState.UNKNOWN


@in_fake_time
async def test_a_message_in_doubt_reads_as_unknown() -> None:
    bench = Bench()
    sent = bench.send()
    await bench.answer_all(InDoubt("silent"))
    record = await a_core(bench).message_info(a_caller(), LINK, sent.answer.message_id)
    assert record is not None
    assert record.status is SegmentState.UNKNOWN


@in_fake_time
async def test_a_store_that_is_away_is_no_answer() -> None:
    bench = Bench()
    bench.store.hook = failing("find")
    with pytest.raises(StoreUnavailableError):
        await a_core(bench).message_info(a_caller(), LINK, str(uuid.uuid4()))


# -- housekeeping -------------------------------------------------------------------------------------------


@in_fake_time
async def test_the_janitor_sweeps_again_at_once_while_there_is_something_and_survives_every_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    log, lines = a_log()
    steps = [500, 500, 0, StoreUnavailableError("away"), StoreUnavailableError("away"), KeyError("x"), 0]
    times: list[float] = []

    async def sweep(now: float) -> int:
        times.append(asyncio.get_running_loop().time() - 1000)
        step = steps[len(times) - 1]
        if isinstance(step, Exception):
            raise step
        return int(step)

    monkeypatch.setattr(bench.store, "sweep", sweep)
    task = asyncio.create_task(run_janitor(bench.store, log))
    await asyncio.sleep(4.5 * PASS_S)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert times == [0, 0, 0, 1, 2, 3, 4]
    assert [(line["level"], line.get("reason", "")) for line in lines] == [
        ("error", "away"),
        ("error", "unexpected"),
        ("info", ""),
    ]
    assert lines[-1]["failures"] == 3


@in_fake_time
async def test_a_cancelled_attempt_is_not_a_failure() -> None:
    log, lines = a_log()
    attempts = Attempts(log, "store_find")
    task = asyncio.create_task(attempts.done(asyncio.sleep(10)))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (attempts.failures, lines) == (0, [])

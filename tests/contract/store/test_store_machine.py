"""Any order of calls leaves every store as a tiny model says, over restarts where it is durable.

The model keeps, for each record, its segments as (state, smsc_id, reason, updated_at); who owns a receipt
key; and what is parked. Counters are compared with those of the store in memory, given the same calls.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
import pytest
from contract.store.store_kit import (
    DURABLE,
    EXPIRED,
    NOT_SENT,
    NOW,
    REJECTED,
    RETENTION_S,
    STORES,
    SUBMITTED,
    SUBMITTING,
    UNDELIVERABLE,
    UNKNOWN,
    a_receipt,
    a_result,
    an_intent,
)
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import FINAL, SegmentState
from smsproxy.stores.base import Intent, SegmentResult, Store
from smsproxy.stores.memory import MemoryStore
from smsproxy.stores.parking import PARKING_S

Segment = tuple[SegmentState, str, str, float]
Key = tuple[str, str]

NUMBERS = st.integers(1, 4)
ACCOUNTS = st.sampled_from(["a", "b"])
KEYS = st.sampled_from(["k1", "k2", "k3", ""])
RESULTS = st.sampled_from([SUBMITTED, SUBMITTED, UNKNOWN, REJECTED, NOT_SENT])
RECEIPTS = st.sampled_from([SUBMITTED, SegmentState.DELIVERED, EXPIRED, UNDELIVERABLE])


@dataclass
class Model:
    """What the promises say, in the fewest words."""

    records: dict[bytes, tuple[Intent, list[Segment]]] = field(default_factory=dict)
    owners: dict[Key, tuple[Intent, int]] = field(default_factory=dict)
    parked: dict[Key, Receipt] = field(default_factory=dict)

    def drop(self, intent: Intent) -> None:
        if message_id := self.holds(intent):
            del self.records[message_id]
            self.owners = {key: owner for key, owner in self.owners.items() if owner[0] is not intent}

    def holds(self, intent: Intent) -> bytes | None:
        held = self.records.get(intent.message_id)
        return intent.message_id if held is not None and held[0] is intent else None

    def create(self, intent: Intent, replaced: Intent | None) -> bool:
        if intent.message_id in self.records:
            if replaced is None or not self.holds(replaced):
                return False
            self.drop(replaced)
        self.records[intent.message_id] = (
            intent,
            [(SUBMITTING, "", "", intent.created_at)] * intent.segments,
        )
        return True

    def settle(self, result: SegmentResult) -> None:
        intent, index = result.intent, result.segment_no - 1
        if not self.holds(intent) or self.records[intent.message_id][1][index][0] not in (
            SUBMITTING,
            UNKNOWN,
        ):
            return
        self.owners = {key: owner for key, owner in self.owners.items() if owner != (intent, index)}
        self.put(intent, index, (result.state, result.smsc_id, result.reason, result.at))
        if result.receipt_key:
            key = intent.account, result.receipt_key
            self.owners[key] = intent, index
            if key in self.parked and self.apply(self.parked[key]):
                del self.parked[key]

    def receive(self, receipt: Receipt) -> None:
        key = receipt.account, receipt.receipt_key
        if key in self.owners:
            self.apply(receipt)
        elif key not in self.parked or self.parked[key].state not in FINAL:
            self.parked[key] = receipt

    def apply(self, receipt: Receipt) -> bool:
        intent, index = self.owners[receipt.account, receipt.receipt_key]
        state, smsc_id, _, _ = self.records[intent.message_id][1][index]
        if state not in (SUBMITTED, UNKNOWN):
            return False
        self.put(intent, index, (receipt.state, smsc_id, receipt.reason, receipt.at))
        return True

    def put(self, intent: Intent, index: int, segment: Segment) -> None:
        self.records[intent.message_id][1][index] = segment

    def lapse(self, now: float) -> None:
        self.parked = {key: one for key, one in self.parked.items() if one.at >= now - PARKING_S}

    def restart(self) -> None:
        for intent, segments in self.records.values():
            for index, (state, _, _, _) in enumerate(segments):
                if state is SUBMITTING:
                    self.put(intent, index, (UNKNOWN, "", "no answer before the restart", intent.created_at))


class StoreMachine(RuleBasedStateMachine):
    """Each rule makes the same call of the store, the reference and the model."""

    kind = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="store-machine-"))
        self.model = Model()
        self.reference = MemoryStore(retention_s=RETENTION_S)
        self.twins: dict[int, Intent] = {}
        """The reference's own intents: each store keeps its handle in them."""
        self.intents: list[Intent] = []
        self.now = NOW
        self.open_store()

    def open_store(self) -> None:
        self.stack = AsyncExitStack()
        self.store: Store = self.runner.run(self.stack.enter_async_context(STORES[self.kind](self.directory)))

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.directory)

    def twin(self, intent: Intent) -> Intent:
        return self.twins[id(intent)]

    @rule(
        wanted=st.lists(
            st.tuples(NUMBERS, st.integers(1, 2), ACCOUNTS, st.booleans()), min_size=1, max_size=4
        )
    )
    def create(self, wanted: list[tuple[int, int, str, bool]]) -> None:
        batch, twins, replaced = [], [], []
        for number, segments, account, take_over in wanted:
            old = [one for one in self.intents if one.message_id == number.to_bytes(16, "big")]
            replaced.append(old[-1] if old and take_over else None)
            for made, of in ((batch, lambda one: one), (twins, self.twin)):
                generation = of(old[-1]).generation if old and take_over else 0
                made.append(
                    an_intent(number, segments=segments, account=account, at=self.now, replaces=generation)
                )
        expected = [self.model.create(*pair) for pair in zip(batch, replaced, strict=True)]
        assert self.runner.run(self.store.create(batch)) == expected
        assert self.runner.run(self.reference.create(twins)) == expected
        for intent, twin, ok in zip(batch, twins, expected, strict=True):
            if ok:
                self.intents.append(intent)
                self.twins[id(intent)] = twin

    @precondition(lambda self: self.intents)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        results = data.draw(
            st.lists(
                st.builds(
                    lambda intent, state, smsc_id, last: a_result(
                        intent,
                        state,
                        smsc_id,
                        segment_no=intent.segments if last else 1,
                        reason=state.name,
                        at=self.now,
                    ),
                    st.sampled_from(self.intents[-6:]),
                    RESULTS,
                    KEYS,
                    st.booleans(),
                ),
                min_size=1,
                max_size=4,
            )
        )
        for result in results:
            self.model.settle(result)
        self.runner.run(self.store.settle(results))
        self.runner.run(
            self.reference.settle([one._replace(intent=self.twin(one.intent)) for one in results])
        )

    @rule(said=st.lists(st.tuples(KEYS.filter(bool), RECEIPTS, ACCOUNTS), min_size=1, max_size=4))
    def receive(self, said: list[tuple[str, SegmentState, str]]) -> None:
        receipts = [a_receipt(*one, account=to, reason=one[1].name, at=self.now) for *one, to in said]
        for receipt in receipts:
            self.model.receive(receipt)
        self.runner.run(self.store.receive(receipts))
        self.runner.run(self.reference.receive(receipts))

    @precondition(lambda self: self.intents)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        intents = data.draw(st.lists(st.sampled_from(self.intents[-6:]), min_size=1, max_size=2))
        for intent in intents:
            self.model.drop(intent)
        self.runner.run(self.store.withdraw(intents))
        self.runner.run(self.reference.withdraw([self.twin(one) for one in intents]))

    @rule(seconds=st.sampled_from([1, 61, 400]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        old = [
            intent for intent, _ in self.model.records.values() if intent.created_at < self.now - RETENTION_S
        ]
        for intent in old:
            self.model.drop(intent)
        self.model.lapse(self.now)
        assert self.runner.run(self.store.sweep(self.now)) == len(old)
        assert self.runner.run(self.reference.sweep(self.now)) == len(old)

    @precondition(lambda self: self.kind in DURABLE)
    @rule()
    def restart(self) -> None:
        counters = self.store.counters
        self.runner.run(self.stack.aclose())
        self.open_store()
        marked = self.store.counters["intents_marked_unknown"]
        unfinished = [
            one for one in self.model.records.values() if SUBMITTING in [each[0] for each in one[1]]
        ]
        assert marked == len(unfinished)
        self.store.counters = counters
        self.model.restart()

    @invariant()
    def reads_as_the_model_says(self) -> None:
        message_ids = [number.to_bytes(16, "big") for number in (1, 2, 3, 4)]
        found = self.runner.run(self.store.find(message_ids))
        for message_id, record in zip(message_ids, found, strict=True):
            held = self.model.records.get(message_id)
            assert (record is None) == (held is None)
            if record is None or held is None:
                continue
            assert record.generation == held[0].generation
            assert [(s.state, s.smsc_id, s.reason, s.updated_at) for s in record.segments] == held[1]

    @invariant()
    def counts_as_the_store_in_memory(self) -> None:
        assert self.store.counters == self.reference.counters


@pytest.mark.parametrize("kind", sorted(STORES))
def test_any_order_of_calls_leaves_what_the_model_says(kind: str) -> None:
    machine = type(f"{kind.title()}Machine", (StoreMachine,), {"kind": kind})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )

"""Decides what becomes of each submit_sm: one plain function of script, counts, chance and clock.

In this order: addresses that are too long, a full queue, the throttle, the first rule that matches, the
script's ordinary course. What the first three refuse does not count for rules. Called by the intake.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from smsproxy.simulator.hints import HINTS
from smsproxy.simulator.script import Action, Rule, Script
from smsproxy.simulator.texts import content_of, decode_text
from smsproxy.smpp.constants import (
    ESME_RINVDSTADR,
    ESME_RINVSRCADR,
    ESME_RMSGQFUL,
    ESME_ROK,
    ESME_RTHROTTLED,
)
from smsproxy.smpp.pdu import DataSm, SubmitSm

MAX_ADDRESS_OCTETS = 20
_RECEIPT_BITS = 0x03  # registered_delivery, §5.2.17
_WHEN_FAILED, _WHEN_DELIVERED = 2, 3
_GOOD = frozenset({"DELIVRD", "ENROUTE", "ACCEPTD"})


@dataclass(slots=True)
class Plan:
    """What the SMSC does with one submit_sm. Delays are seconds from now."""

    command_status: int = ESME_ROK
    action: Action | None = None
    instead: bool = False
    answer_s: float = 0.0
    state: str = ""
    """What becomes of a message that was taken; empty: that is never known."""
    states: tuple[str, ...] = ()
    """Of the receipts, in order; none when nobody asked."""
    receipt_s: float = 0.0
    early: bool = False
    """Receipts whose time is the answer's go ahead of it."""

    @property
    def taken(self) -> bool:
        """The SMSC has the message, and gave it an id."""
        return self.command_status == ESME_ROK and not self.silent

    @property
    def silent(self) -> bool:
        """No answer ever."""
        return self.action == "silent" or self.action == "cut"


class Bucket:
    """How fast one system_id may submit. Times are seconds of one clock."""

    __slots__ = ("_at", "_tokens")

    def __init__(self) -> None:
        self._at = float("-inf")
        self._tokens = 0.0

    def take(self, now: float, rate_per_s: float, burst: float) -> bool:
        """One token; False when there is none. A bucket never used is full."""
        self._tokens = min(burst, self._tokens + min((now - self._at) * rate_per_s, burst))
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Planner:
    """Plans by one script. A new script gets a new planner, so all its counts begin again."""

    def __init__(self, script: Script, random: Random, now: float) -> None:
        self._script = script
        self._random = random
        self._since = now
        self._rules = script.rules + (tuple(hint.rule for hint in HINTS) if script.hints else ())
        self._matched = [0] * len(self._rules)
        self._fired = [0] * len(self._rules)
        self._turn = -1

    def plan(self, pdu: SubmitSm | DataSm, bucket: Bucket, now: float) -> Plan:
        """The plan for one submit. `bucket` is its account's."""
        refusal = _malformed(pdu) or self._refusal(bucket, now)
        if refusal:
            return Plan(refusal, answer_s=self._answer_delay())
        rule = self._rule_for(pdu) if self._rules else None
        if rule is None:
            return self._ordinary(pdu, Plan(answer_s=self._answer_delay()), "")
        delay_s = rule.after_s if rule.do == "late" else self._answer_delay()
        status = rule.status if rule.do in ("error", "nack") else ESME_ROK
        plan = Plan(status, rule.do, rule.instead, delay_s)
        if not plan.taken or (rule.do == "receipt" and not rule.state):
            return plan
        return self._ordinary(pdu, plan, rule.state if rule.do == "receipt" else "")

    def _refusal(self, bucket: Bucket, now: float) -> int:
        script = self._script
        if script.queue_full_for_s:
            since_full = now - self._since - script.queue_full_after_s
            if 0 <= since_full < script.queue_full_for_s:
                return ESME_RMSGQFUL
        rate = script.throttle_per_s
        if rate and not bucket.take(now, rate, script.throttle_burst or max(1.0, rate)):
            return ESME_RTHROTTLED
        return ESME_ROK

    def _answer_delay(self) -> float:
        jitter = self._script.answer_jitter_s
        if not jitter:
            return self._script.answer_delay_s
        return max(0.0, self._script.answer_delay_s + self._random.uniform(-jitter, jitter))

    def _ordinary(self, pdu: SubmitSm | DataSm, plan: Plan, state: str) -> Plan:
        """A message that was taken: add its receipts to the plan."""
        script = self._script
        plan.state = state = state or self._next_state()
        if not _wanted(script, pdu.registered_delivery, state):
            return plan
        finals = (state,) * (1 + script.receipt_repeats)
        plan.states = script.receipts_before + finals + script.receipts_after
        share = script.early_receipt_share
        if share and self._random.random() < share:
            plan.early = True
            plan.receipt_s = max(0.0, plan.answer_s - script.early_receipt_s)
            return plan
        plan.receipt_s = plan.answer_s + script.receipt_delay_s
        if script.receipt_jitter_s:
            plan.receipt_s += self._random.uniform(0.0, script.receipt_jitter_s)
        return plan

    def _next_state(self) -> str:
        states, weights = self._script.receipt_states, self._script.receipt_weights
        if len(states) == 1:
            return states[0]
        if weights:
            return self._random.choices(states, weights)[0]
        self._turn = (self._turn + 1) % len(states)
        return states[self._turn]

    def _rule_for(self, pdu: SubmitSm | DataSm) -> Rule | None:
        """The first rule that matches. Rules behind it do not count this submit."""
        for index, rule in enumerate(self._rules):
            if not _describes(rule, pdu):
                continue
            self._matched[index] += 1
            if rule.every and self._matched[index] % rule.every:
                continue
            if rule.at_most and self._fired[index] >= rule.at_most:
                continue
            if rule.share < 1 and self._random.random() >= rule.share:
                continue
            self._fired[index] += 1
            return rule
        return None


def _malformed(pdu: SubmitSm | DataSm) -> int:
    """The status for addresses that a receipt could not carry back (§5.2.8, §5.2.9: 20 octets)."""
    if len(pdu.destination_addr[2]) > MAX_ADDRESS_OCTETS:
        return ESME_RINVDSTADR
    return ESME_RINVSRCADR if len(pdu.source_addr[2]) > MAX_ADDRESS_OCTETS else ESME_ROK


def _wanted(script: Script, registered_delivery: int, state: str) -> bool:
    """Whether a receipt with this state was asked for (§5.2.17)."""
    if script.receipts != "asked":
        return script.receipts == "always"
    asked = registered_delivery & _RECEIPT_BITS
    if asked == _WHEN_FAILED:
        return state not in _GOOD
    return bool(asked) and (asked != _WHEN_DELIVERED or state == "DELIVRD")


def _describes(rule: Rule, pdu: SubmitSm | DataSm) -> bool:
    """Whether what a rule says of the message itself is true of this one."""
    digits = pdu.destination_addr[2]
    if not (digits.startswith(rule.destination_prefix) and digits.endswith(rule.destination_suffix)):
        return False
    if not rule.text_contains and not rule.segment_no:
        return True
    content = content_of(pdu)
    if rule.segment_no and (content.concat is None or content.concat.segment_no != rule.segment_no):
        return False
    text = decode_text(content.octets, pdu.data_coding, content.single_shift, content.locking_shift)
    return rule.text_contains in (text or "")

"""The contact policy's decisions: one rule, one request, one moment, and what the store remembers.

Plain functions over a `Transaction`, called by the embedded engine inside its unit of work. They keep no
state, read no clock and touch nothing else, so a unit of work may be repeated. The blacklist comes before
them and needs no store; then duplicate, daily cap, weekly cap, in this order (spec §5). A refusal reserves
nothing.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from smsproxy.policy.base import PolicyRequest, Transaction, Verdict
from smsproxy.policy.counters import Claims, Tally, first_contact
from smsproxy.policy.days import Moment, week_expires_at
from smsproxy.policy.strategies import Rule

_TALLY = b"c"
_CLAIMS = b"d"


class Judgement(NamedTuple):
    """What a rule says, before `shadow`."""

    verdict: Verdict
    forgotten: int = 0
    """Message ids that were dropped to keep a value bounded."""
    in_doubt: bool = False
    """`unavailable`, and yet it may have been counted."""


GRANTED = Judgement(Verdict.OK)
"""The usual one. The same object each time, so that it is known at a glance."""


def reserve(rule: Rule, request: PolicyRequest, moment: Moment, transaction: Transaction) -> Judgement:
    """Check what the rule's mode checks, and if that is granted, count what it counts."""
    message_id, now = request.message_id, moment.now
    tally = claims = None
    if rule.window_s and request.text_sha256:
        claims_key = claims_key_of(rule, request)
        claims = Claims(transaction.get(claims_key), now, rule.window_kept_s)
    if rule.has_caps:
        tally_key = tally_key_of(rule, request)
        found = transaction.get(tally_key)
        if found is None and claims is None and rule.takes_first:  # nine of ten: none this week
            value = first_contact(moment.week, moment.day, message_id)
            transaction.put(tally_key, value, week_expires_at(moment.week))
            return GRANTED
        tally = Tally(found, moment.week)
    if rule.checks:
        verdict = _check(rule, message_id, moment, claims, tally)
        if verdict is not Verdict.OK:
            return Judgement(verdict)
    forgotten = 0
    if rule.counts and claims is not None and not claims.holds(message_id, rule.window_s):
        forgotten += claims.add(message_id)
        _store(transaction, claims_key, claims.pack(), now + rule.window_kept_s)
    if rule.counts and tally is not None and not tally.holds(message_id):
        forgotten += tally.add(message_id, moment.day, rule.ids_kept)
        _store(transaction, tally_key, tally.pack(), week_expires_at(moment.week))
    return Judgement(Verdict.OK, forgotten) if forgotten else GRANTED


def _check(
    rule: Rule, message_id: bytes, moment: Moment, claims: Claims | None, tally: Tally | None
) -> Verdict:
    """What refuses first. A message that is already counted is never refused by what it counts in."""
    if claims is not None and claims.blocks(message_id, rule.window_s):
        return Verdict.DUPLICATE
    if tally is None or tally.holds(message_id):
        return Verdict.OK
    if rule.daily_max is not None and tally.of_day(moment.day) >= rule.daily_max:
        return Verdict.DAILY_CP
    if rule.weekly_max is not None and tally.of_week >= rule.weekly_max:
        return Verdict.WEEKLY_CP
    return Verdict.OK


class _Dry:
    """A transaction whose writes go nowhere."""

    __slots__ = ("get", "keys")

    def __init__(self, transaction: Transaction) -> None:
        self.get = transaction.get
        self.keys = transaction.keys

    def put(self, key: bytes, value: bytes, expires_at: float) -> None:
        """Not written."""

    def delete(self, key: bytes) -> None:
        """Not deleted."""


def check(rule: Rule, request: PolicyRequest, moment: Moment, transaction: Transaction) -> Judgement:
    """What `reserve` would say; nothing is counted."""
    return Judgement(reserve(rule, request, moment, _Dry(transaction)).verdict)


def release(rule: Rule, request: PolicyRequest, moment: Moment, transaction: Transaction) -> bool:
    """Give back what this message_id holds, whatever the rule's mode is by now. False: it holds nothing."""
    given_back = False
    if rule.window_s and request.text_sha256:
        key = claims_key_of(rule, request)
        claims = Claims(transaction.get(key), moment.now, rule.window_kept_s)
        if claims.remove(request.message_id):
            given_back = True
            _store(transaction, key, claims.pack(), claims.newest_at + rule.window_kept_s)
    if rule.has_caps:
        key = tally_key_of(rule, request)
        tally = Tally(transaction.get(key), moment.week)
        if tally.remove(request.message_id):
            given_back = True
            _store(transaction, key, tally.pack(), week_expires_at(moment.week))
    return given_back


def _store(transaction: Transaction, key: bytes, value: bytes | None, expires_at: float) -> None:
    if value is None:
        transaction.delete(key)
    else:
        transaction.put(key, value, expires_at)


def tally_key_of(rule: Rule, request: PolicyRequest) -> bytes:
    """Whose contacts are counted. Addresses hold no NUL (spec §2.5), so it separates them without doubt."""
    who = request.daddr.encode()
    if rule.scope == "recipient_app":
        who = request.app_id.to_bytes(8, "big", signed=True) + who
    elif rule.scope == "recipient_sender":
        who = request.saddr.encode() + b"\0" + who
    return _TALLY + rule.tag + who


def claims_key_of(rule: Rule, request: PolicyRequest) -> bytes:
    """One text to one number of one app, whatever the scope; hashed, so that the key stays small."""
    what = f"{request.app_id}\0{request.daddr}\0".encode() + request.text_sha256
    return _CLAIMS + hashlib.blake2b(rule.tag + what, digest_size=16).digest()

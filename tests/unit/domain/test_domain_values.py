"""The small nouns: callers, addresses, messages, ends and errors."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from smsproxy.domain import errors
from smsproxy.domain.address import Address
from smsproxy.domain.caller import Caller
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, InDoubt, NotSent, Refused, Status
from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import SegmentState


def test_a_caller_without_lists_may_use_everything() -> None:
    caller = Caller(1, 0.0)
    assert caller.may_use(100)
    assert caller.may_send_as("ANY")
    assert caller.scopes == {"send", "read"}


def test_a_caller_with_lists_may_use_what_is_in_them() -> None:
    caller = Caller(1, 0.0, esmes=frozenset({1000}), senders=frozenset({"BRAND"}))
    assert (caller.may_use(1000), caller.may_use(100)) == (True, False)
    assert (caller.may_send_as("BRAND"), caller.may_send_as("brand")) == (True, False)


def test_values_cannot_be_changed() -> None:
    for value, name in ((Caller(1, 0.0), "app_id"), (InDoubt("a"), "reason"), (NotSent("x"), "reason")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, 2)


def test_only_submitted_is_a_success() -> None:
    assert [status for status in Status if Answer(status).success] == [Status.SUBMITTED]


def test_the_status_words_are_contract() -> None:
    assert {status.value for status in Status} == {
        "submitted", "daily_cp", "weekly_cp", "duplicate", "blacklist", "rejected", "unknown", "invalid",
        "unauthenticated", "forbidden", "no_route", "rate_limited", "unavailable", "expired", "internal",
    }  # fmt: skip
    assert f"{Status.RATE_LIMITED}" == "rate_limited"


def test_a_refusal_reads_as_operators_know_it() -> None:
    assert str(Refused(0x0B, "ESME_RINVDSTADR 0x0000000B")) == "ESME_RINVDSTADR 0x0000000B"
    assert not Refused(0x0B, "").throttled
    assert InDoubt("x") != NotSent("x")


def test_a_message_has_nothing_that_was_not_given() -> None:
    message = Message(1, 100, "BRAND", "998901234567", "hello")
    assert (message.transaction_id, message.task_id, message.sent_at, message.strategy) == ("", 0, 0, "")
    assert message.ston is message.snpi is message.dton is message.dnpi is None


def test_addresses_and_receipts_are_keys() -> None:
    assert Address(1, 1, "1") == Address(1, 1, "1")
    assert len({Address(1, 1, "1"), Address(1, 1, "1"), Address(0, 1, "1")}) == 2
    receipt = Receipt("a", "b", SegmentState.DELIVERED, "", 1.0)
    assert pickle.loads(pickle.dumps(receipt)) == receipt


def test_all_causes_of_a_failed_authentication_have_one_text() -> None:
    assert str(errors.UnauthenticatedError()) == "authentication failed"
    kinds = (
        errors.UnauthenticatedError,
        errors.ForbiddenError,
        errors.NotFoundError,
        errors.StoreUnavailableError,
    )
    assert all(issubclass(kind, errors.ProductError) for kind in kinds)

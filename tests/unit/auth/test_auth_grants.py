"""Tokens for secrets: who gets one, for what, and what failures cost those who fail, and nobody else."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tokens_by_hand import NOW, OTHER, PREVIOUS, SECRET

from smsproxy.auth.grants import TOKEN_TTL_S, Grants
from smsproxy.auth.jwt import JwtAuthenticator
from smsproxy.domain.grant import Granted, GrantError, GrantRefusedError
from smsproxy.obs.log import Log
from smsproxy.settings import AppSettings, Secret

Apps = dict[int, AppSettings]
HOME = "192.0.2.1"
BOT = "192.0.2.66"
WRONG = b"a-secret-that-nobody-has-0123456789abcdef"


class Lines(list[dict[str, Any]]):
    def warning(self, event: str, **fields: object) -> None:
        self.append({"event": event, **fields})


class Desk:
    """Grants with a clock that is turned by hand."""

    def __init__(self, apps: Apps) -> None:
        self.clock = 1000.0
        self.lines = Lines()
        self.grants = Grants(apps, cast(Log, self.lines), lambda: NOW, lambda: self.clock)

    def ask(
        self, client: str = "1", secret: bytes = SECRET, scope: str = "", address: str = HOME
    ) -> Granted | GrantRefusedError:
        try:
            return self.grants.grant(client, [secret], scope, address)
        except GrantRefusedError as refusal:
            return refusal

    def told(self, *arguments: Any, **more: Any) -> GrantError | None:
        """The error, None when a token came."""
        answer = self.ask(*arguments, **more)
        return answer.error if isinstance(answer, GrantRefusedError) else None


@pytest.fixture
def desk(apps: Apps) -> Desk:
    return Desk(apps | {3: AppSettings(public_key=Secret(b"-----BEGIN"), algorithm="ES256")})


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS], ids=["current", "previous"])
def test_a_secret_gets_a_token_that_opens_the_door(desk: Desk, apps: Apps, secret: bytes) -> None:
    granted = desk.ask(secret=secret)
    assert isinstance(granted, Granted)
    assert (granted.expires_in_s, granted.scope) == (TOKEN_TTL_S, "send read")
    assert granted.access_token not in repr(granted)
    only_current = {1: AppSettings(secret=Secret(SECRET))}
    caller = JwtAuthenticator(only_current).authenticate(f"Bearer {granted.access_token}", "1", NOW)
    assert (caller.app_id, caller.scopes) == (1, {"send", "read"})
    assert caller.expires_at == NOW + TOKEN_TTL_S + 30


@pytest.mark.parametrize(
    ("scope", "granted"), [("read", "read"), ("read send", "read send"), ("send send", "send")]
)
def test_a_token_is_for_the_scope_that_was_asked_for(
    desk: Desk, apps: Apps, scope: str, granted: str
) -> None:
    answer = desk.ask(scope=scope)
    assert isinstance(answer, Granted)
    assert answer.scope == granted
    caller = JwtAuthenticator(apps).authenticate(f"Bearer {answer.access_token}", "1", NOW)
    assert caller.scopes == set(granted.split())


@pytest.mark.parametrize("scope", ["admin", "send admin", "SEND", " ", "send  read", "send,read"])
def test_a_scope_that_the_app_does_not_have_is_an_error(desk: Desk, scope: str) -> None:
    assert desk.told(scope=scope) is GrantError.INVALID_SCOPE
    assert desk.told("2", OTHER, "read") is GrantError.INVALID_SCOPE


def test_one_text_for_a_client_that_is_unknown_and_a_secret_that_is_wrong(desk: Desk) -> None:
    asked = [("1", WRONG), ("2", SECRET), ("9", SECRET), ("x", SECRET), ("1", b""), ("1", SECRET[:-1])]
    told = [desk.ask(client, secret, address=f"192.0.2.{row}") for row, (client, secret) in enumerate(asked)]
    assert {str(answer) for answer in told} == {"client authentication failed"}
    assert desk.grants.refused == {GrantError.INVALID_CLIENT: len(asked)}


@pytest.mark.parametrize("client", ["", "0", "01", "+1", " 1", "1 ", "1.0", "١", "9" * 19, "1" * 4000])
def test_an_app_id_has_one_spelling(desk: Desk, client: str) -> None:
    assert desk.told(client) is GrantError.INVALID_CLIENT


def test_an_app_with_a_public_key_is_told_that_it_signs_its_own(desk: Desk) -> None:
    assert desk.told("3", b"anything") is GrantError.UNAUTHORIZED_CLIENT


def test_a_secret_is_found_among_the_ways_to_read_it(desk: Desk) -> None:
    assert isinstance(desk.grants.grant("1", [WRONG, SECRET], "", HOME), Granted)


def test_failures_are_slowed_per_client_then_per_address(desk: Desk) -> None:
    slow = GrantError.SLOW_DOWN
    assert [desk.told(secret=WRONG, address=BOT) for _ in range(6)] == [GrantError.INVALID_CLIENT] * 5 + [
        slow
    ]
    told = [desk.told(str(client), WRONG, address=BOT) for client in range(10, 40)]
    assert told == [GrantError.INVALID_CLIENT] * 25 + [slow] * 5
    answer = desk.ask(secret=WRONG, address=BOT)
    assert isinstance(answer, GrantRefusedError)
    assert (answer.error, answer.retry_after_s) == (slow, 2)
    desk.clock += 2
    assert desk.told(secret=WRONG, address=BOT) is GrantError.INVALID_CLIENT


def test_nobody_is_locked_out_by_the_failures_of_others_not_even_from_their_address(desk: Desk) -> None:
    for row in range(5000):
        desk.told(str(row % 7), WRONG, address=BOT)
        desk.told(secret=WRONG, address=HOME)
    assert desk.told(address=HOME) is None
    assert desk.told(address=BOT) is None


def test_a_client_that_asks_for_a_token_per_call_is_slowed_at_its_address_alone(desk: Desk) -> None:
    assert [desk.told() for _ in range(31)] == [None] * 30 + [GrantError.SLOW_DOWN]
    assert desk.told(address="192.0.2.2") is None
    assert desk.told("2", OTHER) is None
    desk.clock += 0.5
    assert desk.told() is None


def test_what_is_kept_of_strangers_is_bounded(desk: Desk) -> None:
    for row in range(10_050):
        desk.told(str(row + 10), WRONG, address=f"10.0.{row // 250}.{row % 250}")
    assert "keys=10000/10000 evicted=50" in repr(desk.grants._failures_of_client)
    assert "keys=10000/10000 evicted=50" in repr(desk.grants._failures_of_network)


def test_a_reload_revokes_and_brings_secrets(desk: Desk) -> None:
    desk.grants.reload({1: AppSettings(secret=Secret(OTHER))})
    assert desk.told(secret=SECRET) is GrantError.INVALID_CLIENT
    assert desk.told(secret=OTHER) is None
    assert desk.told("2", OTHER) is GrantError.INVALID_CLIENT
    assert repr(desk.grants) == "<Grants apps=1 granted=1 refused=2>"


def test_refusals_are_counted_and_logged_without_what_was_sent(desk: Desk) -> None:
    for _ in range(3):
        desk.ask(secret=WRONG, address=BOT)
    desk.ask("not-a-number-but-a-secret", address=BOT)
    assert desk.lines == [
        {"event": "token_refused", "reason": "invalid_client", "app_id": 1, "address": BOT, "dropped": 0}
    ]
    assert desk.grants.lines_dropped == 3

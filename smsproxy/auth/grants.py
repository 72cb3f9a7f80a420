"""Tokens for secrets: what the token endpoint asks (OAuth 2.0 client_credentials, RFC 6749 §4.4).

Good credentials are never refused for what others do: failures have budgets, and beyond them a wrong secret
is told to slow down, while a right one still gets its token. Checking costs microseconds, and a secret of 32
octets is not found by asking. app.py builds it for the HTTP door (http.base.TokenGrants).
"""

from __future__ import annotations

import hmac
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from smsproxy.auth.damping import Budgets, network_of
from smsproxy.auth.issue import issue_token
from smsproxy.domain.grant import Granted, GrantError, GrantRefusedError
from smsproxy.obs.log import Log
from smsproxy.obs.sampled import SampledLog
from smsproxy.settings import AppSettings

TOKEN_TTL_S = 3600
"""What most services give: a stolen token ends by itself, and a client asks 24 times a day."""
_MAX_ID = 2**63 - 1

Client = tuple[str, int]
"""The network a client calls from, and its app_id: 0 for one that is none."""


class Grants:
    """Checks secrets and makes tokens. Plain calls, no I/O; `now` is Unix time, `clock` monotonic."""

    def __init__(
        self,
        apps: Mapping[int, AppSettings],
        log: Log,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._clock = clock
        self._log = SampledLog(log, "token_refused")
        self._digest_key = secrets.token_bytes(32)
        self._no_secret = self._digest(secrets.token_bytes(32))
        # A client that is misconfigured is slowed before it uses up what its address may get wrong.
        self._failures_of_client: Budgets[Client] = Budgets(rate_per_s=0.5, burst=5)
        self._failures_of_network: Budgets[str] = Budgets(rate_per_s=5, burst=30)
        # A client that asks for a token per call instead of keeping one.
        self._tokens_of_client: Budgets[Client] = Budgets(rate_per_s=2, burst=30)
        self.granted = 0
        self.refused: Counter[GrantError] = Counter()
        self.reload(apps)

    def __repr__(self) -> str:
        return f"<Grants apps={len(self._apps)} granted={self.granted} refused={self.refused.total()}>"

    @property
    def lines_dropped(self) -> int:
        return self._log.dropped_total

    def reload(self, apps: Mapping[int, AppSettings]) -> None:
        """Take new apps: a secret that is gone gets no more tokens."""
        self._apps = dict(apps)
        self._digests = {
            app_id: [self._digest(secret.octets()) for secret in app.secrets] for app_id, app in apps.items()
        }

    def grant(self, client_id: str, readings: Collection[bytes], scope: str, address: str) -> Granted:
        """A token for an app's secret; `readings` are the ways to read what the client sent as one.

        Raises GrantRefusedError, with the same text for a client that is unknown and a secret that is wrong.
        """
        app_id = _app_id(client_id)
        client = (network_of(address), app_id)
        try:
            granted = self._grant(self._credited(client, readings), client, scope)
        except GrantRefusedError as refusal:
            self.refused[refusal.error] += 1
            self._log.warning(reason=refusal.error.value, app_id=app_id or None, address=address)
            raise
        self.granted += 1
        return granted

    def _credited(self, client: Client, readings: Collection[bytes]) -> AppSettings:
        """The app whose secret it is. Raises GrantRefusedError."""
        app = self._apps.get(client[1])
        if self._is_secret_of(client[1], readings) and app is not None:
            return app
        self._charge_failure(client)
        if app is not None and not app.secrets:
            text = "the app has a public key: it signs its own tokens"
            raise GrantRefusedError(GrantError.UNAUTHORIZED_CLIENT, text)
        raise GrantRefusedError(GrantError.INVALID_CLIENT, "client authentication failed")

    def _charge_failure(self, client: Client) -> None:
        """Raises GrantRefusedError when there were too many."""
        now = self._clock()
        late_s = self._failures_of_client.take(client, now) or self._failures_of_network.take(client[0], now)
        if late_s:
            raise _slow_down(late_s)

    def _grant(self, app: AppSettings, client: Client, scope: str) -> Granted:
        asked = scope.split(" ") if scope else list(app.scopes)
        beyond = set(asked) - set(app.scopes)
        if beyond:
            text = f"the app has the scopes: {' '.join(app.scopes)}"
            raise GrantRefusedError(GrantError.INVALID_SCOPE, text)
        late_s = self._tokens_of_client.take(client, self._clock())
        if late_s:
            raise _slow_down(late_s)
        granted = " ".join(dict.fromkeys(asked))
        made = issue_token(app, client[1], TOKEN_TTL_S, self._now(), granted if scope else None)
        return Granted(made, TOKEN_TTL_S, granted)

    def _is_secret_of(self, app_id: int, readings: Collection[bytes]) -> bool:
        """In the same time whichever secret it is, and whether the app exists."""
        known = self._digests.get(app_id, [])
        found = False
        for reading in readings:
            digest = self._digest(reading)
            for secret in (*known, self._no_secret, self._no_secret)[:2]:
                found |= hmac.compare_digest(digest, secret)
        return found

    def _digest(self, octets: bytes) -> bytes:
        """Of one length for all, so that comparing does not tell how long a secret is."""
        return hmac.digest(self._digest_key, octets, "sha256")


def _app_id(client_id: str) -> int:
    """The app_id as people write it, 0 for anything else."""
    if client_id.isascii() and client_id.isdecimal() and len(client_id) <= 19 and client_id[0] != "0":
        number = int(client_id)
        return number if number <= _MAX_ID else 0
    return 0


def _slow_down(late_s: float) -> GrantRefusedError:
    wait_s = max(1, math.ceil(late_s))
    return GrantRefusedError(GrantError.SLOW_DOWN, f"too many requests: wait {wait_s} s", wait_s)

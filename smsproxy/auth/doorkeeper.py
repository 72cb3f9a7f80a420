"""Authentication as the gateway uses it: JwtAuthenticator, with failures damped in cost and in log lines.

A token seen before, good or bad, costs a look-up. One never seen needs a signature check, up to 600 µs: each
address has a budget of those, and a check that finds a good token gives its share back. Beyond the budget a
call waits its turn, at most PATIENCE_S, and is then checked all the same: no flood of bad tokens makes a good
one refused. app.py builds it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping

from smsproxy.auth.base import RefusedTokenError
from smsproxy.auth.claims import Reason
from smsproxy.auth.damping import Budgets, network_of
from smsproxy.auth.jwt import JwtAuthenticator
from smsproxy.domain.caller import Caller
from smsproxy.obs.log import Log
from smsproxy.obs.sampled import SampledLog
from smsproxy.settings import AppSettings

FAILURES_PER_S = 100
"""Bad tokens of one address checked without delay: at 600 µs the dearest of them cost 6 % of a core."""
FAILURES_AT_ONCE = 100
PATIENCE_S = 2.0
"""The longest wait of a new token beside a flood from the same address; callers usually allow 5 s."""
_SHOWN_APP_ID = 19
_random = secrets.SystemRandom()


class Doorkeeper:
    """The `Authenticator` of base.py. `now` is Unix time, for claims; the loop's clock spaces the checks."""

    def __init__(
        self, apps: Mapping[int, AppSettings], log: Log, now: Callable[[], float] = time.time
    ) -> None:
        self._tokens = JwtAuthenticator(apps)
        self._now = now
        self._budgets: Budgets[str] = Budgets(FAILURES_PER_S, FAILURES_AT_ONCE)
        self._log = SampledLog(log, "authentication_failed")
        self.delayed = 0
        """Calls that waited for their turn to be checked."""

    def __repr__(self) -> str:
        return f"<Doorkeeper delayed={self.delayed} {self._tokens!r} {self._budgets!r}>"

    @property
    def verified(self) -> int:
        return self._tokens.verified

    @property
    def remembered_hits(self) -> int:
        return self._tokens.remembered_hits

    @property
    def refused(self) -> Counter[Reason]:
        return self._tokens.refused

    @property
    def refused_by_memory(self) -> int:
        return self._tokens.refused_by_memory

    @property
    def lines_dropped(self) -> int:
        return self._log.dropped_total

    def reload(self, apps: Mapping[int, AppSettings]) -> None:
        """Take new apps and forget every token seen. Raises ConfigError for a key that cannot be used."""
        self._tokens.reload(apps)

    async def authenticate(self, authorization: str | None, app_id: str | None, address: str) -> Caller:
        """See base.Authenticator."""
        try:
            caller = self._tokens.recall(authorization, app_id, self._now())
            if caller is None:
                caller = await self._in_turn(authorization, app_id, network_of(address))
        except RefusedTokenError as error:
            self._tell(error.reason, app_id, address)
            raise
        return caller

    def authenticate_again(self, authorization: str | None, app_id: str | None) -> Caller:
        """See base.Authenticator."""
        try:
            return self._tokens.authenticate(authorization, app_id, self._now())
        except RefusedTokenError as error:
            self._tell(error.reason, app_id, "")
            raise

    async def _in_turn(self, authorization: str | None, app_id: str | None, network: str) -> Caller:
        late_s = self._budgets.take(network, asyncio.get_running_loop().time(), PATIENCE_S)
        if late_s:
            self.delayed += 1
            await asyncio.sleep(late_s if late_s <= PATIENCE_S else _crowded_wait_s())
        # Everything anew: while this call waited, the app may have been revoked.
        caller = self._tokens.authenticate(authorization, app_id, self._now())
        if late_s <= PATIENCE_S:
            self._budgets.give_back(network)
        return caller

    def _tell(self, reason: Reason, app_id: str | None, address: str) -> None:
        shown = app_id if app_id and app_id.isdecimal() and len(app_id) <= _SHOWN_APP_ID else None
        self._log.warning(reason=reason.value, app_id=shown, address=address)


def _crowded_wait_s() -> float:
    """For whom the line is too long. Spread, so that thousands of them are not checked in one loop turn."""
    return PATIENCE_S * _random.uniform(0.5, 1.0)

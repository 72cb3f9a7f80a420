"""The timers of a session, pure: time goes in, what is due comes out.

- binding: dead when there is no answer within `bind_timeout_s`;
- bound: an enquire_link after `enquire_link_s` without an octet from the peer; any octet counts as life; dead
  when none comes within `response_timeout_s` after the enquire_link;
- unbinding: over when there is no answer within `response_timeout_s`.
Called by the session, which asks `due` at every tick.
"""

from __future__ import annotations

from enum import Enum


class Due(Enum):
    """What a timer asks for. The words of the last three are the reason a session gives for its end."""

    NOTHING = "nothing"
    ENQUIRE_LINK = "send enquire_link"
    BIND_TIMEOUT = "bind not answered"
    DEAD = "enquire_link not answered"
    UNBIND_TIMEOUT = "unbound without an answer"


class SessionTimers:
    """One timer runs at a time: `_deadline` is when it is due and `_then` what is due."""

    __slots__ = ("_bind_timeout_s", "_deadline", "_enquire_link_s", "_response_timeout_s", "_then")

    def __init__(self, enquire_link_s: float, response_timeout_s: float, bind_timeout_s: float) -> None:
        self._enquire_link_s = enquire_link_s
        self._response_timeout_s = response_timeout_s
        self._bind_timeout_s = bind_timeout_s
        self._deadline: float | None = None
        self._then = Due.NOTHING

    def __repr__(self) -> str:
        return f"<SessionTimers {self._then.value} at {self._deadline}>"

    def binding(self, now: float) -> None:
        self._deadline, self._then = now + self._bind_timeout_s, Due.BIND_TIMEOUT

    def bound(self, now: float) -> None:
        self._deadline, self._then = now + self._enquire_link_s, Due.ENQUIRE_LINK

    def unbinding(self, now: float) -> None:
        self._deadline, self._then = now + self._response_timeout_s, Due.UNBIND_TIMEOUT

    def stopped(self) -> None:
        self._deadline, self._then = None, Due.NOTHING

    def traffic(self, now: float) -> None:
        """Octets came from the peer: it lives. They do not put off the end of a bind or an unbind."""
        if self._then is Due.ENQUIRE_LINK or self._then is Due.DEAD:
            self._deadline, self._then = now + self._enquire_link_s, Due.ENQUIRE_LINK

    def due(self, now: float) -> Due:
        """What is due at `now`, once. Asking late, even very late, gives one answer, not several."""
        if self._deadline is None or now < self._deadline:
            return Due.NOTHING
        then = self._then
        if then is Due.ENQUIRE_LINK:
            self._deadline, self._then = now + self._response_timeout_s, Due.DEAD
        else:
            self.stopped()
        return then

"""The links as the pipeline drives them, beyond each part's own `base.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from smsproxy.links.base import Offer, Submission
from smsproxy.settings import LinkSettings
from smsproxy.text.segmentation import TextOptions


class SubmitLink(Protocol):
    """One link, as a place to submit to. Its methods are plain functions that never raise."""

    link_id: int
    settings: LinkSettings
    account: str
    """Scope in which the SMSC's ids are unique."""
    text_options: TextOptions

    @property
    def smsc_system_id(self) -> str: ...

    @property
    def bound(self) -> bool: ...

    @property
    def pause_left_s(self) -> float:
        """Seconds until the SMSC's "slow down" is over. It does not count as waiting (spec §6)."""
        ...

    def receipt_key(self, smsc_id: str) -> str:
        """The id of a submit_sm_resp as receipts of this link will spell it."""
        ...

    def expected_wait_s(self, fair_key: tuple[int, str] | None = None) -> float:
        """How long a new message under `fair_key` would wait for its token."""
        ...

    def offer(self, submission: Submission) -> Offer:
        """Take a message in; `granted` may be told before this returns."""
        ...

    def withdraw(self, submission: Submission) -> bool:
        """Take a waiting message out. False once it has a slot."""
        ...

    def write(self, submission: Submission) -> None:
        """Put every granted, unwritten segment on the wire. Each is `answered` once."""
        ...

    def stop(self, submission: Submission) -> None:
        """No further segment may be granted or written; unused places go to those who wait."""
        ...


class Routes(Protocol):
    """Links and pools by the id callers use."""

    def knows(self, route_id: int) -> bool: ...

    def link(self, link_id: int) -> SubmitLink | None:
        """The link of exactly this id."""
        ...

    def members(self, route_id: int) -> Sequence[SubmitLink]:
        """The link itself, or the members of the pool; empty for an unknown id."""
        ...

    def pick(self, route_id: int) -> SubmitLink | None:
        """Where the next message for `route_id` should go, None when nothing is bound."""
        ...

    def text_options(self, route_id: int) -> Sequence[TextOptions]:
        """The distinct text settings a message for `route_id` may meet; none for an unknown id."""
        ...

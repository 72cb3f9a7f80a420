"""The links as the pipeline drives them, beyond each part's own `base.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from smsproxy.links.base import Offer, Submission
from smsproxy.settings import LinkSettings
from smsproxy.text.segmentation import TextOptions


class SubmitLink(Protocol):
    """One link, as a place to submit to."""

    link_id: int
    settings: LinkSettings
    text_options: TextOptions
    smsc_system_id: str

    @property
    def bound(self) -> bool: ...

    def receipt_key(self, smsc_id: str) -> str:
        """The id of a submit_sm_resp as receipts of this link will spell it."""
        ...

    def expected_wait_s(self, fair_key: tuple[int, str] | None = None) -> float: ...

    def offer(self, submission: Submission) -> Offer: ...

    def withdraw(self, submission: Submission) -> bool: ...

    def write(self, submission: Submission) -> None: ...

    def stop(self, submission: Submission) -> None: ...


class Routes(Protocol):
    """Links and pools by the id callers use."""

    def knows(self, route_id: int) -> bool: ...

    def link(self, link_id: int) -> SubmitLink | None:
        """The link of exactly this id."""
        ...

    def members(self, route_id: int) -> Sequence[SubmitLink]: ...

    def pick(self, route_id: int) -> SubmitLink | None: ...

    def text_options(self, route_id: int) -> list[TextOptions]: ...

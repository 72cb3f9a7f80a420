"""The core as doors see it: the pipeline plus what can be asked beside it (ports.Gateway)."""

from __future__ import annotations

import time

from smsproxy.auth.base import Authenticator
from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import ForbiddenError, NotFoundError, RefusedError
from smsproxy.domain.ids import parse_id
from smsproxy.domain.outcome import Status
from smsproxy.domain.record import MessageRecord
from smsproxy.pipeline.base import Routes
from smsproxy.pipeline.measure import measure
from smsproxy.pipeline.pipeline import Pipeline
from smsproxy.pipeline.ports import Audience, TextMeasure
from smsproxy.stores.base import Health, Store
from smsproxy.text.segmentation import TextOptions


class Core:
    """Implements ports.Gateway."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        routes: Routes,
        authenticator: Authenticator,
        *,
        receipt_timeout_s: float,
        default_text: TextOptions,
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._routes = routes
        self._authenticator = authenticator
        self._receipt_timeout_s = receipt_timeout_s
        self._default_text = default_text
        self.submit = pipeline.submit
        """ports.Gateway.submit, without a step between: every message passes it."""
        self.started = False

    def reload(self, default_text: TextOptions) -> None:
        """SIGHUP: how CheckTextLen measures without an `esme`."""
        self._default_text = default_text

    @property
    def ready(self) -> bool:
        return self.started and not self._pipeline.draining and not self.store_away

    @property
    def store_away(self) -> str:
        """Why the record store takes no new message now, in words; empty while it does."""
        return self._store.away if isinstance(self._store, Health) else ""

    @property
    def stream_room(self) -> int:
        return self._pipeline.stream_room

    async def authenticate(self, authorization: str | None, app_id: str | None, address: str) -> Caller:
        return await self._authenticator.authenticate(authorization, app_id, address)

    def authenticate_again(self, authorization: str | None, app_id: str | None) -> Caller:
        return self._authenticator.authenticate_again(authorization, app_id)

    def link_status(self, caller: Caller, route_id: int) -> tuple[bool, str]:
        self._check_route(caller, route_id)
        members = self._routes.members(route_id)
        for link in members:
            if link.bound:
                return True, link.smsc_system_id or link.settings.system_id
        return False, members[0].settings.system_id if members else ""

    def measure(self, caller: Caller, route_id: int, text: str) -> TextMeasure:
        if not route_id:
            return measure(text, [self._default_text])
        self._check_route(caller, route_id)
        return measure(text, self._routes.text_options(route_id))

    async def message_info(self, caller: Caller, route_id: int, message_id: str) -> MessageRecord | None:
        """Raises StoreUnavailableError."""
        key = parse_id(message_id)
        if key is None:
            return None
        record = await self._pipeline.lookups.find(key)
        if record is None or record.app_id != caller.app_id:
            return None
        if record.link_id != route_id and all(
            link.link_id != record.link_id for link in self._routes.members(route_id)
        ):
            return None
        record.expire(time.time(), self._receipt_timeout_s)
        return record

    async def screen(self, caller: Caller, audience: Audience) -> list[str]:
        if self._pipeline.draining:
            raise RefusedError(Status.UNAVAILABLE, "draining")
        return await self._pipeline.screening.screen(caller, audience)

    def link_bound(self, link_id: int) -> bool | None:
        link = self._routes.link(link_id)
        return None if link is None else link.bound

    def _check_route(self, caller: Caller, route_id: int) -> None:
        if not self._routes.knows(route_id):
            raise NotFoundError(f"esme: no link or pool {route_id}")
        if not caller.may_use(route_id):
            raise ForbiddenError(f"esme: {route_id} is not allowed to the app")

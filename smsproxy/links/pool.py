"""Links by id, pools of links, and the one synchronous function that chooses: `Directory.pick` (spec §4).

A pool has no rate of its own: smooth weighted round-robin over the members that are bound and have a token
and a slot now; if none has, the one that is free soonest. Asked by the pipeline, filled by the supervisor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace

from smsproxy.links.link import Link
from smsproxy.text.segmentation import TextOptions


@dataclass(slots=True)
class Member:
    """A link in a pool."""

    link: Link
    weight: int


class LinkPool:
    """A named group of links.

    A member has its turns at (n + 1/2) / weight, n = 0, 1, ...: who is next is asked first, so a message
    costs as much in a pool of two hundred links as in one of two, unless most of them are busy.
    """

    def __init__(self, pool_id: int, members: Sequence[Member]) -> None:
        self.pool_id = pool_id
        self.members = members
        self._turns = [(0.5 / member.weight, place, member) for place, member in enumerate(members)]
        heapify(self._turns)

    def __repr__(self) -> str:
        return f"<LinkPool {self.pool_id} members={len(self.members)}>"

    def pick(self) -> Link | None:
        """The member for the next message, None when none is bound."""
        turns = self._turns
        passed: list[tuple[float, int, Member]] = []
        while turns:
            at, place, member = turns[0]
            if member.link.free_now():
                heapreplace(turns, (at + 1 / member.weight, place, member))
                if passed:
                    self._put_back(passed, at)
                return member.link
            passed.append(heappop(turns))
        self._turns = passed  # all of them, and as sorted as a heap must be
        bound = [member.link for member in self.members if member.link.bound]
        return min(bound, key=Link.free_in) if bound else None

    def _put_back(self, passed: Sequence[tuple[float, int, Member]], now: float) -> None:
        """A turn that came while a member was not free is lost: it does not catch up."""
        for _, place, member in passed:
            heappush(self._turns, (now + 1 / member.weight, place, member))


class Directory:
    """Every link and pool of this instance, by the id callers use."""

    def __init__(self) -> None:
        self.links: Mapping[int, Link] = {}
        self.pools: Mapping[int, LinkPool] = {}
        self._text_options: dict[int, list[TextOptions]] = {}

    def __repr__(self) -> str:
        bound = sum(link.bound for link in self.links.values())
        return f"<Directory links={len(self.links)} bound={bound} pools={len(self.pools)}>"

    def replace(self, links: Mapping[int, Link], pools: Mapping[int, LinkPool]) -> None:
        """The links and pools of a new configuration, at once."""
        self.links = links
        self.pools = pools
        self._text_options = {
            route_id: list(dict.fromkeys(link.text_options for link in self.members(route_id)))
            for route_id in (*links, *pools)
        }

    def knows(self, route_id: int) -> bool:
        return route_id in self.links or route_id in self.pools

    def link(self, link_id: int) -> Link | None:
        """The link of exactly this id."""
        return self.links.get(link_id)

    def members(self, route_id: int) -> list[Link]:
        """The link itself, or the members of the pool; empty for an unknown id."""
        if route_id in self.links:
            return [self.links[route_id]]
        pool = self.pools.get(route_id)
        return [member.link for member in pool.members] if pool else []

    def pick(self, route_id: int) -> Link | None:
        """The link that the next message for `route_id` should take, None when none is bound."""
        link = self.links.get(route_id)
        if link is not None:
            return link if link.bound else None
        pool = self.pools.get(route_id)
        return pool.pick() if pool else None

    def text_options(self, route_id: int) -> list[TextOptions]:
        """The distinct text settings a message for `route_id` may meet. Not to be changed."""
        return self._text_options.get(route_id, [])

"""Names of keys, so that they can be spread over a Redis Cluster and still be asked for in batches.

A cluster runs a script only where all its keys live, and decides where by what stands in braces. So every key
carries one of 16 tags: a batch of any size is one call on one server, at most 16 calls on a cluster.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

TAGS = 16


def tag(name: str) -> int:
    """The tag of a name: the same in every instance and release."""
    return zlib.crc32(name.encode()) % TAGS


def tagged(kind: str, name: str) -> str:
    """The key of `name`: smsproxy:{tag}:kind:name."""
    return f"smsproxy:{{{tag(name)}}}:{kind}:{name}"


def by_tag(names: Iterable[str]) -> list[list[int]]:
    """The positions of `names`, those of one tag together."""
    groups: dict[int, list[int]] = {}
    for position, name in enumerate(names):
        groups.setdefault(tag(name), []).append(position)
    return list(groups.values())

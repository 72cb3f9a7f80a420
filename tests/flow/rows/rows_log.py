"""What the rows read out of the daemon's log: events of links, with their times."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import Any

from tests.flow.kit import Daemon


def events(daemon: Daemon, *names: str) -> list[dict[str, Any]]:
    """The log lines of these events, in order; `at` is Unix seconds."""
    found = []
    for line in list(daemon.lines):
        if any(f'"event": "{name}"' in line for name in names):
            one = json.loads(line)
            found.append({**one, "at": datetime.fromisoformat(one["timestamp"]).timestamp()})
    return found


def times_to_bind_again(daemon: Daemon) -> list[float]:
    """For each loss of a session that was followed by a bind of its link: the seconds between them."""
    lost: dict[int, float] = {}
    found = []
    for event in events(daemon, "link_down", "link_bound"):
        link_id = event["link_id"]
        if event["event"] == "link_down":
            lost[link_id] = event["at"]
        elif link_id in lost:
            found.append(event["at"] - lost.pop(link_id))
    return found


def most_lines_a_second(daemon: Daemon) -> int:
    """The most log lines about one link in one second."""
    counted: Counter[tuple[int, int]] = Counter()
    for line in list(daemon.lines):
        if '"link_id"' in line:
            one = json.loads(line)
            counted[one["link_id"], int(datetime.fromisoformat(one["timestamp"]).timestamp())] += 1
    return max(counted.values(), default=0)

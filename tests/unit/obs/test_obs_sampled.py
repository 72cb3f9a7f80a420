"""Lines that strangers can cause: one a second, and none is lost from the count."""

from __future__ import annotations

from typing import Any, cast

from smsproxy.obs.log import Log
from smsproxy.obs.sampled import SampledLog


class Lines(list[dict[str, Any]]):
    def warning(self, event: str, **fields: object) -> None:
        self.append({"event": event, **fields})


def test_one_line_a_second_says_how_many_were_left_out() -> None:
    now, lines = [50.0], Lines()
    log = SampledLog(cast(Log, lines), "refused", lambda: now[0])
    for millisecond in range(3500):
        now[0] = 50.0 + millisecond / 1000
        log.warning(number=millisecond)
    assert lines == [
        {"event": "refused", "number": 1000 * second, "dropped": 999 if second else 0} for second in range(4)
    ]
    assert log.dropped_total == 3496

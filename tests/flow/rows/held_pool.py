"""The stage of the rows that hold load: some simulators, and a daemon with a pool of links to them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from held_load import HeldLoad, a_pool
from rows_kit import SOAK, metrics

from smsproxy.simulator.entry import Entry
from tests.flow.kit import Client, Daemon, Smsc, running

LINKS = 4
RATE = 1000 if SOAK else 100
SLACK = 1 if SOAK else 5
"""Times are asserted as the matrix prints them in a soak, at five times their figure else."""
ANSWERS = {
    "answer_delay_s": 0.02, "answer_jitter_s": 0.01, "receipt_delay_s": 0.1, "receipt_jitter_s": 0.4,
}  # fmt: skip


class HeldPool:
    """SMSCs with one script, and the daemon with a link to each of them (100 and on) in pool 1000; `with`."""

    def __init__(
        self,
        folder: Path,
        script: dict[str, Any],
        *,
        links: int = LINKS,
        tables: dict[str, Any] | None = None,
        **link: Any,
    ) -> None:
        self.folder = folder
        self._script = {**ANSWERS, **script}
        self._links = links
        self._tables = tables
        self._link = link
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> HeldPool:
        with contextlib.ExitStack() as stack:
            folders = [self.folder / f"smsc-{number}" for number in range(self._links)]
            self.smscs = [stack.enter_context(running(Smsc(folder, self._script))) for folder in folders]
            ports = [smsc.port for smsc in self.smscs]
            self.config = a_pool(self.folder, ports, self._tables, **self._link)
            self.daemon = stack.enter_context(running(Daemon(self.config)))
            self.client = stack.enter_context(Client(self.daemon.target))
            for link_id in range(100, 100 + self._links):
                self.daemon.wait_bound(link_id)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def load(self, duration_s: float, marks: Callable[[int], str] = lambda number: "") -> HeldLoad:
        return HeldLoad(self.daemon.target, RATE, duration_s, marks=marks)

    def counted(self, name: str) -> float:
        """A metric of links, summed up over all of them."""
        found = metrics(self.folder / "http.sock")
        return sum(value for key, value in found.items() if key.startswith(f"smsproxy_{name}{{"))

    def wait_counted(self, name: str, wanted: float) -> None:
        """Until a metric of the links comes to this."""
        deadline = time.monotonic() + 20
        while (counted := self.counted(name)) != wanted:
            assert time.monotonic() < deadline, (name, counted)
            time.sleep(0.005)

    def parts_in_doubt(self, load: HeldLoad) -> int:
        """By the records of the messages that were told unknown."""
        unknown = [answer for answer in load.campaign.said.values() if answer.status == "unknown"]
        records = [self.client.info(answer.message_id, 1000) for answer in unknown]
        return sum(list(record.parts.values()).count("unknown") for record in records)

    def wait_delivered(self, message_id: str, timeout_s: float) -> None:
        """Until SmsInfo says that every part was delivered."""
        deadline = time.monotonic() + timeout_s
        while (status := self.client.info(message_id, 1000).status) != "DELIVERED":
            assert time.monotonic() < deadline, status
            time.sleep(0.01)

    def entries(self) -> list[Entry]:
        """All truth logs. Stops the SMSCs."""
        return [entry for smsc in self.smscs for entry in smsc.entries()]

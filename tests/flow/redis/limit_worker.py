"""One of several processes on one key (row 28): `limit_worker.py URL RATE BURST OFFERED_PER_S SECONDS`.

Waits for a line on stdin, so that all begin together; prints {"granted": …, "failures": …}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from smsproxy.limits.base import ASK, GRANTED, NS_PER_S
from smsproxy.limits.shared import SharedLimits
from smsproxy.limits.source import TokenSource
from smsproxy.obs.log import configure, get_log
from smsproxy.remote.remote import Remote
from smsproxy.remote.url import parse_url

APP = 1


class Worker:
    """Offers requests at a steady rate; those that must wait for a call are counted when it has come."""

    def __init__(self, remote: Remote, rate_per_s: int, burst: int) -> None:
        source = TokenSource(remote, get_log("worker"), instances=1, refuse_when_away=True)
        self.limits = SharedLimits(0, {APP: (rate_per_s, burst)}, source)
        self.limits.attach(self)
        self.loop = asyncio.get_running_loop()
        self.parked = 0
        self.granted = 0

    def offer(self) -> None:
        answer = self.limits.admit(APP, int(self.loop.time() * NS_PER_S))
        self.granted += answer == GRANTED
        self.parked += answer == ASK

    def waiting(self, _app_id: int) -> int:
        return self.parked

    def told(self, _app_id: int) -> None:
        again, self.parked = self.parked, 0
        for _ in range(again):
            self.offer()


async def run(url: str, rate_per_s: int, burst: int, offered_per_s: int, seconds: float) -> None:
    remote = Remote(parse_url(url), get_log("worker"), call_s=2)  # the count is the point, not the time
    await remote.open()
    worker = Worker(remote, rate_per_s, burst)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began = worker.loop.time()
    offered = 0
    while (passed := worker.loop.time() - began) < seconds:
        due = int(passed * offered_per_s)
        while offered < due:
            worker.offer()
            offered += 1
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.1)  # the last call's answer
    print(json.dumps({"granted": worker.granted, "failures": remote.counters["failures"]}), flush=True)
    await remote.aclose()


def step_wall_clock() -> None:
    """This process' wall clock jumps by an hour to and fro, twice a second: no limit may look at it."""
    real = time.time
    vars(time)["time"] = lambda: real() + 3600 * (int(real() * 2) % 3 - 1)


if __name__ == "__main__":
    configure(human=True, level="WARNING")
    step_wall_clock()
    url, *numbers = sys.argv[1:]
    rate, burst, offered, seconds = map(int, numbers)
    asyncio.run(run(url, rate, burst, offered, float(seconds)))

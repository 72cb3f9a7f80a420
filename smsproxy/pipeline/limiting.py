"""The limit stage: requests whose app's shared limit is not known here wait for one call to Redis (spec §4).

Only they come here: while this instance has tokens, or knows that there are none, admission decides at once.
Each waits for the call that is under way or the next one, both bounded in time by `limits`, so nothing here
needs a clock. How many may wait is bounded by max_in_flight.
"""

from __future__ import annotations

from collections.abc import Callable

from smsproxy.domain.outcome import Answer
from smsproxy.limits.base import Admission
from smsproxy.pipeline.admission import PARKED
from smsproxy.pipeline.job import WITHDRAWN, Job


class LimitStage:
    """limits.base.Parked over jobs."""

    def __init__(
        self,
        limits: Admission,
        *,
        again: Callable[[Job], Answer | None],
        passed: Callable[[Job], None],
        refused: Callable[[Job, Answer], None],
    ) -> None:
        """`again` asks the limits once more: None, an answer, or PARKED."""
        self._again = again
        self._passed = passed
        self._refused = refused
        self._jobs: dict[int, list[Job]] = {}
        self.parked = 0
        """Requests that waited here, in all."""
        limits.attach(self)

    def park(self, job: Job) -> None:
        """Ends in `passed(job)` or `refused(job, answer)`."""
        self.parked += 1
        self._jobs.setdefault(job.message.app_id, []).append(job)

    def waiting(self, app_id: int) -> int:
        return len(self._jobs.get(app_id, ()))

    def told(self, app_id: int) -> None:
        """In the order they came. One that a reload makes ask anew waits once more."""
        for job in self._jobs.pop(app_id, ()):
            answer = None if job.stage is WITHDRAWN else self._again(job)
            if answer is None:
                self._passed(job)
            elif answer is PARKED:
                self._jobs.setdefault(app_id, []).append(job)
            else:
                self._refused(job, answer)

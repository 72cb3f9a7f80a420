"""What became of the requests: ends by status, who waited, what the store took late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from smsproxy.obs.metrics.metric import Items, Metric, by_label, counter, gauge, named_counters


class PipelineView(Protocol):
    """The pipeline (pipeline.pipeline.Pipeline)."""

    @property
    def submitted(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def ended_by_status(self) -> Items: ...
    @property
    def counters(self) -> Items: ...


_COUNTERS: Mapping[str, str] = {
    "withdrawn": "Requests whose caller left before anything was sent.",
    "limits_awaited": "Requests that waited for one call to Redis to know their limit.",
    "repeats_followed": "Repeats that waited for the end of a request in flight.",
    "repeats_timed_out": "Repeats that waited in vain and were told unknown.",
    "results_delayed": "Answers of an SMSC that had to wait for the store.",
    "results_lost": "Answers of an SMSC that the store never took: their records stay unknown.",
    "withdrawals_delayed": "Intents of messages not sent that were withdrawn late.",
    "withdrawals_lost": "Intents of messages not sent that stay: they read as unknown.",
    "policy_releases_delayed": "Counts of the contact policy that were given back late.",
    "policy_releases_lost": "Counts of the contact policy that were never given back.",
    "screened_numbers": "Numbers the contact policy was asked about before there was a message.",
    "screenings_refused": "Screenings refused because too many were under way.",
    "lookups_refused": "Look-ups of single records refused because too many waited.",
    "inbound_taken": "Messages from handsets that the sink took.",
    "inbound_incomplete": "Messages from handsets given out as far as they came: their time was over.",
    "inbound_overflowed": "Messages from handsets given out incomplete because too much waited.",
    "inbound_sent_back": "Messages from handsets that the SMSC was asked to repeat.",
    "inbound_lost": "Incomplete messages from handsets that the sink did not take in time.",
    "receipts_sent_back": "Receipts the store could not take in time: the SMSC was asked to repeat them.",
}


def message_metrics(pipeline: PipelineView) -> Iterator[Metric]:
    """What became of the requests (spec §2.1)."""
    yield counter("requests_total", "Requests that reached the pipeline.", pipeline.submitted)
    yield by_label(
        "messages_total", "Requests by how they ended.", "status", pipeline.ended_by_status.items()
    )
    yield gauge("messages_in_flight", "Requests that have not ended yet.", pipeline.in_flight)
    yield from named_counters("pipeline", "", _COUNTERS, pipeline.counters)

"""The text that a scraper reads: our metrics beside build and process metrics (Prometheus text format).

A registry of its own, so that two daemons in one process (tests) do not meet in the library's global one.
Who calls: the HTTP door.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from smsproxy import __version__
from smsproxy.obs.metrics import Metric, MetricsSource

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Exposition:
    """Prometheus text of one source, beside build and process metrics. A registry of its own: no globals."""

    def __init__(self, source: MetricsSource) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Bridge(source))
        ProcessCollector(registry=self._registry)  # resident memory, CPU seconds, descriptors

    def text(self) -> bytes:
        """Everything now, in the plain text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)


class _Bridge(Collector):
    """Our metrics as the library's families."""

    def __init__(self, source: MetricsSource) -> None:
        self._source = source

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for metric in (*_build(), *self._source()):
            names = [name for name, _ in metric.values[0][0]] if metric.values else []
            family = (
                CounterMetricFamily(metric.name, metric.help, labels=names)
                if metric.kind == "counter"
                else GaugeMetricFamily(metric.name, metric.help, labels=names)
            )
            for labels, value in metric.values:
                family.add_metric([text for _, text in labels], value)
            yield family


def _build() -> Iterator[Metric]:
    """Which program this is."""
    labels = (("version", __version__), ("python", platform.python_version()))
    yield Metric("smsproxy_build_info", "Always 1; the labels tell the version.", "gauge", [(labels, 1)])

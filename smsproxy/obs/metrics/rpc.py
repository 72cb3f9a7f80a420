"""The gRPC edge: calls, connections, floods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from smsproxy.obs.metrics.metric import Metric, by_label, counter, gauge

_FAMILIES = {
    "streams_by_status": ("grpc_calls_ended_total", "gRPC calls by status.", "status"),
    "connections_ended_by": (
        "grpc_connections_ended_total",
        "Connections that we ended, by cause: a flood, or lost patience.",
        "cause",
    ),
}


def rpc_metrics(counters: Mapping[str, int | Mapping[str, int]]) -> Iterator[Metric]:
    """The gRPC edge (rpc.options.RpcCounters.as_dict): a name in ``_total`` counts, another is a state."""
    for name, value in counters.items():
        text = f"gRPC edge: {name.removesuffix('_total').replace('_', ' ')}."
        if isinstance(value, Mapping):
            yield by_label(*_FAMILIES[name], value.items())
        elif name.endswith("_total"):
            yield counter(f"grpc_{name}", text, value)
        else:
            yield gauge(f"grpc_{name}", text, value)

"""Every metric of the daemon: its name, its promise, and where its number comes from. A module for each part.

Numbers are plain integers that the parts keep for themselves; they are read when somebody scrapes, so a
message pays for an addition and nothing else. app.py hands the parts to these functions (protocols say what
is needed of them, so that this package knows none); `obs.exposition` makes the text of it.
"""

from smsproxy.obs.metrics.auth import auth_metrics, grant_metrics
from smsproxy.obs.metrics.limits import limit_metrics, source_metrics
from smsproxy.obs.metrics.links import link_metrics
from smsproxy.obs.metrics.metric import Metric, MetricsSource
from smsproxy.obs.metrics.pipeline import message_metrics
from smsproxy.obs.metrics.policy import policy_metrics
from smsproxy.obs.metrics.remote import remote_metrics
from smsproxy.obs.metrics.rpc import rpc_metrics
from smsproxy.obs.metrics.stores import outage_metrics, store_metrics

__all__ = [
    "Metric",
    "MetricsSource",
    "auth_metrics",
    "grant_metrics",
    "limit_metrics",
    "link_metrics",
    "message_metrics",
    "outage_metrics",
    "policy_metrics",
    "remote_metrics",
    "rpc_metrics",
    "source_metrics",
    "store_metrics",
]

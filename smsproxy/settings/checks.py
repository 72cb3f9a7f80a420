"""Rules that hold between sections: ids, references, files, and what several instances lose.

Plain functions over a built Settings that write into the Report. Who calls: `loader`, when every file could
be read (else a missing file would look like a hundred missing links).
"""

from __future__ import annotations

from pathlib import Path

from smsproxy.settings.certificates import check_tls
from smsproxy.settings.faults import KeyPath, Report
from smsproxy.settings.fields import Section
from smsproxy.settings.links import check_pool
from smsproxy.settings.root import Settings

_TLS_FILES = ("tls_ca_file", "tls_cert_file", "tls_key_file")


def check_references(settings: Settings, report: Report) -> None:
    """Everything that names something else by its id."""
    for pool_id, pool in settings.pools.items():
        at = ("pools", str(pool_id))
        if pool_id in settings.links:
            report.fault(at, f"links and pools share one id space: link {pool_id} has the id already")
        check_pool(pool, at, settings.links, report)
    for app_id, app in settings.apps.items():
        for index, route_id in enumerate(app.esmes):
            if route_id not in settings.links and route_id not in settings.pools:
                key = ("apps", str(app_id), "esmes", str(index))
                report.fault(key, f"there is no link or pool {route_id}")


def check_accounts(settings: Settings, report: Report) -> None:
    """Links of one account get each other's receipts, and each reads the ids by its own `receipt_id`."""
    first: dict[str, int] = {}
    for link_id, link in settings.links.items():
        other = first.setdefault(link.account_name, link_id)
        rule = settings.links[other].receipt_id
        if rule != link.receipt_id:
            report.warn(
                ("links", str(link_id), "receipt_id"),
                f"is {link.receipt_id}, and {rule} on link {other} of the same account: "
                "a receipt that comes on the other link finds no message",
            )


def check_instances(settings: Settings, report: Report) -> None:
    """What needs a shared store, and what several instances without one do not promise."""
    kind = settings.store.url.kind
    if settings.server.reuse_port and not settings.store.url.shared:
        report.fault(
            ("server", "reuse_port"), f"several instances on one port need a shared store; {kind} is not one"
        )
    _check_shared_store(settings, report)
    if settings.limits.instances == 1:
        return
    at = ("limits", "instances")
    if not settings.store.url.shared:
        report.warn(
            at,
            f"the {kind} store is not shared: a receipt that reaches another instance is lost, "
            "a repeat that reaches another instance is submitted again, SmsInfo knows its own messages only",
        )
    if not settings.limits.redis_url:
        report.warn(
            at, "no limits.redis_url: each instance takes its share of a rate, however uneven the load"
        )
    if settings.policy.engine == "embedded":
        report.warn(at, "policy.engine embedded counts in each instance: a recipient may get each one's cap")


def _check_shared_store(settings: Settings, report: Report) -> None:
    """Instances on one store are told apart by their names; what the policy counts is not in that store."""
    if not settings.store.url.shared:
        return
    if settings.server.reuse_port and not settings.server.instance:
        report.warn(
            ("server", "instance"),
            "instances that share a port need a name each: with one name for all, the start of one marks "
            "what the others have in flight as unknown, until its results come",
        )
    if settings.policy.engine == "embedded" and not settings.policy.path:
        report.warn(
            ("policy", "path"),
            f"is needed beside the {settings.store.url.kind} store: without it daily and weekly counts are "
            "forgotten at the end of the process",
        )


def check_files(settings: Settings, report: Report) -> None:
    """TLS files must be there; a missing blacklist is only worth a warning, it may come later."""
    server, http = settings.server, settings.http
    check_tls(server.tls_cert_file, server.tls_key_file, server.tls_client_ca_file, ("server",), report)
    check_tls(http.tls_cert_file, http.tls_key_file, "", ("http",), report)
    for link_id, link in settings.links.items():
        _check_tls_files(link, ("links", str(link_id)), report)
    blacklist = settings.policy.blacklist
    if "files" not in blacklist.model_fields_set:
        return  # the default file is optional
    for index, name in enumerate(blacklist.files):
        if not Path(name).is_file():
            report.warn(
                ("policy", "blacklist", "files", str(index)), f"there is no file {name}: it counts as empty"
            )


def _check_tls_files(section: Section, at: KeyPath, report: Report) -> None:
    for key in _TLS_FILES:
        name = getattr(section, key, "")
        if name and not Path(name).is_file():
            report.fault((*at, key), f"there is no file {name}")


def check_anything_to_do(settings: Settings, report: Report) -> None:
    if not settings.apps:
        report.warn(("apps",), "there is no app: every call is refused")
    if not settings.links:
        report.warn(("links",), "there is no link: nothing can be sent")

"""Client certificates: which apps' calls need one, and what `check-config` says of it.

`client_cert_required` is an app's own word; `server.tls_client_ca_file` with no such word is everybody's. Who
asks: app.py for the authenticator and for the listener, `loader` for the checks.
"""

from __future__ import annotations

from collections.abc import Mapping

from smsproxy.settings.apps import AppSettings
from smsproxy.settings.faults import Report
from smsproxy.settings.root import Settings


def apps_in_force(settings: Settings) -> Mapping[int, AppSettings]:
    """The apps as callers are checked: with a client CA and no app that says client_cert_required, all do."""
    apps = settings.apps
    if not settings.server.tls_client_ca_file or any(app.client_cert_required for app in apps.values()):
        return apps
    return {app_id: app.model_copy(update={"client_cert_required": True}) for app_id, app in apps.items()}


def all_need_certificates(settings: Settings) -> bool:
    """Whether a connection without a certificate is of no use to anybody: then it ends in the handshake."""
    return all(app.client_cert_required for app in apps_in_force(settings).values())


def check_client_certificates(settings: Settings, report: Report) -> None:
    """An app's demand for a certificate needs a CA that judges it; with one, who does not ask is told."""
    if settings.server.tls_client_ca_file:
        free = [app_id for app_id, app in apps_in_force(settings).items() if not app.client_cert_required]
        if free:
            report.warn(
                ("server", "tls_client_ca_file"),
                "some apps have client_cert_required: health, reflection and "
                f"apps {', '.join(map(str, free))} are then served without a certificate",
            )
        return
    for app_id, app in settings.apps.items():
        if app.client_cert_required:
            report.fault(("apps", str(app_id), "client_cert_required"), "needs server.tls_client_ca_file")

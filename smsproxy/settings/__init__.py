"""The configuration: pydantic models of every key of spec §3, read with all faults at once.

`load(path)` gives Settings or raises ConfigError; `default_path` says which file; `masked` and `describe`
show the result with stars for secrets. The daemon reads it at the start and at SIGHUP, and nowhere else.
"""

from smsproxy.settings.apps import AppSettings
from smsproxy.settings.client_certs import all_need_certificates, apps_in_force
from smsproxy.settings.describe import describe, masked
from smsproxy.settings.faults import ConfigError, Fault
from smsproxy.settings.limits import LimitsSettings
from smsproxy.settings.links import LinkSettings, PoolMember, PoolSettings
from smsproxy.settings.loader import default_path, load
from smsproxy.settings.policy import BlacklistSettings, PolicySettings, StrategySettings
from smsproxy.settings.root import Settings
from smsproxy.settings.secrets import Secret
from smsproxy.settings.server import HttpSettings, ServerSettings
from smsproxy.settings.store import StoreSettings, StoreUrl
from smsproxy.settings.text import TextSettings

__all__ = [
    "AppSettings",
    "BlacklistSettings",
    "ConfigError",
    "Fault",
    "HttpSettings",
    "LimitsSettings",
    "LinkSettings",
    "PolicySettings",
    "PoolMember",
    "PoolSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "StoreUrl",
    "StrategySettings",
    "TextSettings",
    "all_need_certificates",
    "apps_in_force",
    "default_path",
    "describe",
    "load",
    "masked",
]

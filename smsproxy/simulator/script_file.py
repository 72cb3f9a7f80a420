"""Reads a `Script` from a TOML file or a table, and says what is wrong with it: every fault, each by its key.

    receipt_delay_s = 0.5
    [[rules]]
    do = "error"
    status = "ESME_RINVDSTADR"
    destination_prefix = "99890"

Called by `smsproxy smsc --script` and the tests.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails

from smsproxy.simulator.script import Script


class ScriptError(Exception):
    """A script cannot be used. `faults` has one line for each thing wrong, ``key: what``."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


_ADAPTER: TypeAdapter[Script] = TypeAdapter(with_config(ConfigDict(extra="forbid"))(Script))


def script_from(table: Mapping[str, object], base: Script | None = None) -> Script:
    """The script that `table` describes; what it leaves out is as in `base`. Raises ScriptError."""
    try:
        return _ADAPTER.validate_python({**asdict(base or Script()), **table})
    except ValidationError as error:
        raise ScriptError(_faults(error.errors(include_url=False))) from None


def load_script(path: Path, base: Script | None = None) -> Script:
    """The script in a TOML file. Raises ScriptError, also for a file that cannot be read."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ScriptError([f"{path}: {error.strerror or error}"]) from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise ScriptError([f"{path}: {error}"]) from None
    try:
        return script_from(table, base)
    except ScriptError as error:
        raise ScriptError([f"{path}: {fault}" for fault in error.faults]) from None


def _faults(details: list[ErrorDetails]) -> list[str]:
    """One line each. An array whose entries are at fault also counts as too short: that is not told."""
    places = [detail["loc"] for detail in details]
    return [
        _words(detail)
        for detail in details
        if detail["type"] != "too_short" or not any(place[:-1] == detail["loc"] for place in places)
    ]


def _words(detail: ErrorDetails) -> str:
    """``rules[2].status: unknown status …``"""
    key = ""
    for part in detail["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    match detail["type"]:
        case "unexpected_keyword_argument":
            what = "unknown key"
        case "value_error":
            what = str(detail["ctx"]["error"])
        case _:
            what = detail["msg"]
    return f"{key}: {what}" if key else what

"""One raw table into one model, with every fault of it reported.

A key at fault is replaced by its default and the rest is looked at again, so that one wrong key never hides
another. Files with secrets are read here. Who calls: `loader`, once for each table.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from smsproxy.settings.faults import KeyPath, Report
from smsproxy.settings.fields import FieldContext, Section
from smsproxy.settings.secrets import read_secret, resolve

SectionT = TypeVar("SectionT", bound=Section)

_WANTED = {
    "int_type": "an integer",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def build(
    model: type[SectionT], raw: object, at: KeyPath, report: Report, environ: Mapping[str, str]
) -> SectionT:
    """The model of a table. Always gives one; `report` says whether it may be used."""
    values = as_table(raw, at, report)
    for key in model.FILE_ONLY & values.keys():
        report.fault((*at, key), "unknown key")
        del values[key]
    context = FieldContext(report.origins.file(at).parent, environ)
    _load_files(model, values, at, report, context)
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        details = error.errors(include_url=False)
    for detail in details:
        report.fault((*at, *map(str, _loc(detail))), explain(model, detail))
    # From the back, so that dropping an entry of an array does not move the ones still to be dropped.
    for detail in reversed(details):
        _drop(values, _loc(detail))
    return model.model_validate(values, context=context)


def _loc(detail: ErrorDetails) -> tuple[str | int, ...]:
    """Where in the table; "[key]" is how pydantic says that a mapping's key is at fault, not its value."""
    return tuple(part for part in detail["loc"] if part != "[key]")


def _drop(values: object, loc: tuple[str | int, ...]) -> None:
    """Take one key or array entry out, so that its default stands in for it."""
    first, *rest = loc
    match values, first:
        case dict(), _ if rest:
            _drop(values.get(first), tuple(rest))
        case dict(), _:
            values.pop(first, None)
        case list(), int() if rest:
            _drop(values[first], tuple(rest))
        case list(), int():
            del values[first]


def as_table(raw: object, at: KeyPath, report: Report) -> dict[str, object]:
    if isinstance(raw, dict):
        return dict(raw)
    report.fault(at, f"must be a table, not {kind(raw)}")
    return {}


def _load_files(
    model: type[Section], values: dict[str, object], at: KeyPath, report: Report, context: FieldContext
) -> None:
    for key, file_key in model.LOADED_FROM.items():
        reference = values.get(file_key, "")
        if values.get(key) and reference:
            report.fault((*at, key), f"give {key} or {file_key}, not both")
        elif values.get(key):
            report.warn((*at, key), f"stands in the file: for development only, else {file_key}")
        elif isinstance(reference, str) and reference:
            try:
                path = resolve(reference, context.directory, context.environ)
                values[key], world_readable = read_secret(path)
            except ValueError as error:
                report.fault((*at, file_key), str(error))
            else:
                if world_readable and key not in model.FILE_ONLY:
                    report.warn((*at, file_key), f"every user of this host can read it: chmod 600 {path}")


def explain(model: type[Section], detail: ErrorDetails) -> str:
    """Pydantic's finding in the operator's words. Never shows the value of a text: it may be a secret."""
    kind_of_error, given = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    match kind_of_error:
        case "extra_forbidden":
            return _unknown(model, detail)
        case "value_error":
            return str(context["error"])
        case "greater_than_equal" | "less_than_equal":
            return f"{_bounds(model, detail)}, got {given}"
        case "finite_number":
            return "must be a finite number"
        case "literal_error":
            return f"must be {context['expected']}"
        case "string_too_long":
            return f"has at most {context['max_length']} characters, this one has {len(given)}"
        case "too_short":  # the only lower bound of a length here is 1
            return "must not be empty"
        case "too_long":
            return f"has at most {context['max_length']} entries, this one has {len(given)}"
        case _ if kind_of_error in _WANTED:
            return f"must be {_WANTED[kind_of_error]}, not {kind(given)}"
        case _:
            return detail["msg"]


def _unknown(model: type[Section], detail: ErrorDetails) -> str:
    if len(detail["loc"]) > 1:
        return "unknown key"
    return unknown_key(
        str(detail["loc"][0]), [name for name in model.model_fields if name not in model.FILE_ONLY]
    )


def unknown_key(name: str, known: Sequence[str]) -> str:
    """What to say of it, with the nearest one that there is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"unknown key (did you mean {close[0]}?)" if close else "unknown key"


def _bounds(model: type[Section], detail: ErrorDetails) -> str:
    field = model.model_fields.get(str(detail["loc"][0]))
    if field is not None and len(detail["loc"]) == 1:
        low = [bound.ge for bound in field.metadata if isinstance(bound, Ge)]
        high = [bound.le for bound in field.metadata if isinstance(bound, Le)]
        if low and high:
            return f"must be {low[0]} to {high[0]}"
    context = detail.get("ctx", {})
    return f"must be at least {context['ge']}" if "ge" in context else f"must be at most {context['le']}"


def kind(value: object) -> str:
    """What a TOML value is, in words."""
    match value:
        case bool():
            return "true or false"
        case int():
            return "an integer"
        case float():
            return "a number with decimals"
        case str():
            return "text"
        case list():
            return "an array"
        case dict():
            return "a table"
        case datetime.date() | datetime.time():
            return "a date or time"
        case _:
            return type(value).__name__

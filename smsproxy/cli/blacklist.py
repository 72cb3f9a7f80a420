"""`smsproxy blacklist`: single numbers on and off the contact policy's blacklist, while daemons run.

Writes where the daemons of this configuration look (the policy's file, or the Redis they share); the
blacklist's own files are only read. Numbers are shown to whoever typed them, and nowhere else.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from smsproxy.cli.added import open_added
from smsproxy.cli.failures import SAID_NO
from smsproxy.cli.options import config_option, json_option, settings_of
from smsproxy.cli.output import emit
from smsproxy.policy.blacklist import load
from smsproxy.settings import Settings

_NUMBER = re.compile(r"\+?([0-9]{1,20})")


def digits_of(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """click's callback for a number: 1 to 20 digits, one leading ``+`` dropped."""
    match = _NUMBER.fullmatch(value)
    if match is None:
        raise click.BadParameter("must be 1 to 20 digits; a prefix* belongs into a file", ctx, param)
    return match[1]


number_argument = click.argument("number", callback=digits_of)


@click.group(epilog="A running daemon goes by a change within a second.")
def blacklist() -> None:
    """Put a number on the blacklist, take it off, look it up."""


@blacklist.command(
    epilog="Exit codes: 0 it is on the list; 2 wrong configuration, or the list is out of reach."
)
@config_option
@json_option
@number_argument
def add(config: Path | None, as_json: bool, number: str) -> None:
    """Never contact NUMBER from now on."""
    new = open_added(settings_of(config)).add(number)
    _show(as_json, number, "added" if new else "was on the list already", listed=True, changed=new)


@blacklist.command(
    epilog="Exit codes: 0 it is off the list; 1 it was not added by hand, or a file lists it as well; "
    "2 wrong configuration, or the list is out of reach."
)
@config_option
@json_option
@number_argument
@click.pass_context
def remove(ctx: click.Context, config: Path | None, as_json: bool, number: str) -> None:
    """Take NUMBER off again. What a file lists stays listed."""
    settings = settings_of(config)
    gone = open_added(settings).remove(number)
    in_file = _in_file(settings, number)
    word = "removed" if gone else "had not been added"
    _show(as_json, number, f"{word}; a file lists it" if in_file else word, listed=in_file, changed=gone)
    if in_file or not gone:
        ctx.exit(SAID_NO)


@blacklist.command(
    epilog="Exit codes: 0 it is listed; 1 it is not; 2 wrong configuration, or the list is out of reach."
)
@config_option
@json_option
@number_argument
@click.pass_context
def check(ctx: click.Context, config: Path | None, as_json: bool, number: str) -> None:
    """Tell whether NUMBER is listed, and by whom."""
    settings = settings_of(config)
    by_hand, in_file = open_added(settings).holds(number), _in_file(settings, number)
    where = [word for word, true in (("added by hand", by_hand), ("listed by a file", in_file)) if true]
    _show(as_json, number, ", ".join(where) or "not listed", listed=bool(where), changed=False)
    if not where:
        ctx.exit(SAID_NO)


def _in_file(settings: Settings, number: str) -> bool:
    return load(settings.policy.blacklist.files).contains(number)


def _show(as_json: bool, number: str, words: str, *, listed: bool, changed: bool) -> None:
    if as_json:
        emit({"number": number, "listed": listed, "changed": changed, "result": words})
    else:
        click.echo(f"{number}: {words}")

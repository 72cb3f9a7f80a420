"""Names of numbers, and errors that say who is to blame."""

from __future__ import annotations

import pytest

from smsproxy.smpp import constants as c
from smsproxy.smpp.errors import BadPduError, FramingLostError, NotBoundError, SmppError
from smsproxy.smpp.layouts import LAYOUTS


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "ESME_ROK 0x00000000"),
        (0x0B, "ESME_RINVDSTADR 0x0000000B"),
        (0x58, "ESME_RTHROTTLED 0x00000058"),
        (0x400, "ESME_VENDOR 0x00000400"),
    ],
)
def test_status_text_names_and_numbers(status: int, text: str) -> None:
    assert c.status_text(status) == text


def test_command_names_are_the_specification_s() -> None:
    assert c.command_name(c.SUBMIT_SM_RESP) == "submit_sm_resp"
    assert c.command_name(c.BIND_TRANSCEIVER) == "bind_transceiver"
    assert c.command_name(0x99) == "command 0x00000099"


def test_every_layout_has_a_name() -> None:
    assert not [command_id for command_id in LAYOUTS if c.command_name(command_id).startswith("command")]


def test_errors_share_one_base() -> None:
    assert {FramingLostError.__base__, BadPduError.__base__, NotBoundError.__base__} == {SmppError}

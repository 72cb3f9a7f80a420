"""Scripts out of files and tables, and what is said of one that is wrong."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from smsproxy.simulator.hints import HINTS
from smsproxy.simulator.script import STATUS_CODES, Rule, Script
from smsproxy.simulator.script_file import ScriptError, load_script, script_from

EVERYTHING = """
system_id = "carrier"
bind_status = "ESME_RALYBND"
answer_delay_s = 0.02
answer_jitter_s = 1
throttle_per_s = 50
receipt_states = ["DELIVRD", "UNDELIV"]
receipt_weights = [0.9, 0.1]
hints = true

[[rules]]
do = "error"
status = "ESME_RINVDSTADR"
destination_prefix = "99890"

[[rules]]
do = "late"
after_s = 2.5
every = 100
"""


def the_faults(table: dict[str, object]) -> list[str]:
    with pytest.raises(ScriptError) as caught:
        script_from(table)
    return caught.value.faults


def test_a_file_becomes_a_script(tmp_path: Path) -> None:
    path = tmp_path / "script.toml"
    path.write_text(EVERYTHING)
    assert load_script(path) == Script(
        system_id="carrier",
        bind_status=5,
        answer_delay_s=0.02,
        answer_jitter_s=1.0,
        throttle_per_s=50.0,
        receipt_states=("DELIVRD", "UNDELIV"),
        receipt_weights=(0.9, 0.1),
        hints=True,
        rules=(
            Rule(do="error", status=11, destination_prefix="99890"),
            Rule(do="late", after_s=2.5, every=100),
        ),
    )


def test_what_a_table_leaves_out_is_as_in_the_base() -> None:
    base = Script(hints=True, receipt_delay_s=0.5, rules=(Rule(do="silent"),))
    script = script_from({"receipt_delay_s": 2}, base)
    assert script == Script(hints=True, receipt_delay_s=2.0, rules=base.rules)


def test_an_empty_table_is_the_default_script() -> None:
    assert script_from({}) == Script()


def test_all_faults_are_told_at_once_each_by_its_key() -> None:
    rules = [{"do": "error", "status": "ESME_NONSENSE"}, {"do": "dance", "evry": 1}]
    faults = the_faults({"deaf": 1, "answer_delay_s": "1", "recipts": "asked", "rules": rules})
    assert sorted(fault.split(":")[0] for fault in faults) == [
        "answer_delay_s",
        "deaf",
        "recipts",
        "rules[0].status",
        "rules[1].do",
        "rules[1].evry",
    ]
    assert "recipts: unknown key" in faults
    assert any(
        "unknown status 'ESME_NONSENSE': write a name such as ESME_RSYSERR" in fault for fault in faults
    )


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"receipt_weights": [1.0, 2.0]}, "receipt_weights has 2 entries, receipt_states has 1"),
        ({"id_format": "uuid", "receipt_id_format": "hex"}, "receipt_id_format: a uuid has no other form"),
        ({"receipt_template": "no field at all"}, "receipt_template must name one of {id}"),
        ({"receipt_template": "{nonsense}"}, "receipt_template must name one of {id}"),
        ({"receipt_template": "{id"}, "receipt_template must name one of {id}"),
        ({"receipt_template": "{id.x}"}, "receipt_template must name one of {id}"),
        ({"receipt_template": "{id} € "}, "receipt_template must name one of {id}"),
        ({"receipt_states": []}, "receipt_states: "),
        ({"answer_delay_s": -1}, "answer_delay_s: "),
        ({"answer_delay_s": float("nan")}, "answer_delay_s: "),
        ({"early_receipt_share": 1.5}, "early_receipt_share: "),
        ({"bind_status": True}, "bind_status: "),
        ({"bind_status": 2**32}, "bind_status: "),
        ({"system_id": "more than 15 octets"}, "system_id: "),
        ({"receipt_states": ["TWO WORDS"]}, "receipt_states[0]: "),
        ({"rules": "silent"}, "rules: "),
    ],
)
def test_a_fault_is_named(table: dict[str, object], fault: str) -> None:
    (told,) = the_faults(table)
    assert told.startswith(fault)


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "script.toml"
    with pytest.raises(ScriptError, match=r"script\.toml: No such file"):
        load_script(path)
    path.write_text("deaf = maybe")
    with pytest.raises(ScriptError, match=r"script\.toml: .*line 1"):
        load_script(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ScriptError, match=r"script\.toml: "):
        load_script(path)
    path.write_text("deaf = 1")
    with pytest.raises(ScriptError, match=r"script\.toml: deaf: "):
        load_script(path)


def test_statuses_go_by_the_names_of_the_specification() -> None:
    assert STATUS_CODES["ESME_ROK"] == 0
    assert STATUS_CODES["ESME_RTHROTTLED"] == 0x58
    assert STATUS_CODES["ESME_RX_R_APPN"] == 0x66
    assert len(STATUS_CODES) > 40


def test_hints_have_endings_of_their_own_and_a_line_for_people_each() -> None:
    suffixes = [hint.suffix for hint in HINTS]
    assert len(set(suffixes)) == len(suffixes)
    assert all(hint.rule.destination_suffix == hint.suffix for hint in HINTS)
    assert HINTS[1].words == "refused with ESME_RINVDSTADR"


def test_a_script_is_plain_data_that_cannot_be_changed() -> None:
    script = Script()
    assert hash(script) == hash(Script())
    for one in fields(Script):
        with pytest.raises(AttributeError):
            setattr(script, one.name, None)

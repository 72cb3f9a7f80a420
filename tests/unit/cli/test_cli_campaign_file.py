"""Campaigns as CSV files: what is read, what is told, and which row is which in the next run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsproxy.cli.campaign_file import CampaignFile, Defaults, Row, RowFault
from smsproxy.client import Sms

DEFAULTS = Defaults(esme=1000, saddr="MYBRAND")


def read(
    path: Path, content: str | bytes, defaults: Defaults = DEFAULTS, max_text_bytes: int = 1000
) -> list[Row | RowFault]:
    octets = content.encode() if isinstance(content, str) else content
    (path / "c.csv").write_bytes(octets)
    return list(CampaignFile(path / "c.csv", defaults, max_text_bytes).rows())


def messages(rows: list[Row | RowFault]) -> list[Sms]:
    assert [row for row in rows if isinstance(row, RowFault)] == []
    return [row.sms for row in rows if isinstance(row, Row)]


def test_columns_come_in_any_order_under_any_of_their_names(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        "Name,Message,MSISDN, Sender ,esme,strategy,transaction_id,task_id\n"
        'Ann,"Hello, Ann",+998901,SHOP,100,cp1,t-1,5\n'
        "Bob,Hello Bob,998902,,,,,\n",
    )
    assert messages(rows) == [
        Sms(100, "SHOP", "+998901", "Hello, Ann", "cp1", "t-1", 5),
        Sms(1000, "MYBRAND", "998902", "Hello Bob"),
    ]
    assert [row.line for row in rows] == [2, 3]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_commas_semicolons_and_tabs_separate(tmp_path: Path, delimiter: str) -> None:
    content = f"to{delimiter}text\r\n998901{delimiter}Hi\r\n"
    assert messages(read(tmp_path, content)) == [Sms(1000, "MYBRAND", "998901", "Hi")]


def test_numbers_alone_take_everything_else_from_the_command_line(tmp_path: Path) -> None:
    defaults = Defaults(100, "SHOP", "Sale", "cp2", 7)
    rows = read(tmp_path, "998901\n\n+998902\n   \n", defaults)
    assert messages(rows) == [
        Sms(100, "SHOP", "998901", "Sale", "cp2", task_id=7),
        Sms(100, "SHOP", "+998902", "Sale", "cp2", task_id=7),
    ]


def test_numbers_and_texts_need_no_header(tmp_path: Path) -> None:
    assert [sms.message for sms in messages(read(tmp_path, "998901,one\n998902,two\n"))] == ["one", "two"]


def test_the_mark_that_spreadsheets_put_first_and_the_commas_they_put_last_are_nothing(
    tmp_path: Path,
) -> None:
    rows = read(tmp_path, "\ufeffto,text\n998901,Hi,,\n,,,\n")
    assert messages(rows) == [Sms(1000, "MYBRAND", "998901", "Hi")]


def test_a_text_of_several_lines_is_one_text(tmp_path: Path) -> None:
    rows = read(tmp_path, 'to,text\n998901,"one\ntwo"\n998902,three\n')
    assert [sms.message for sms in messages(rows)] == ["one\ntwo", "three"]
    assert [row.line for row in rows] == [3, 4]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("name,text\nAnn,Hi\n", 1, "has no column to (and does not begin with a number)"),
        ("to,phone,text\n1,2,Hi\n", 1, "two columns mean to"),
        ("to,text\n998901,Hello, Ann\n", 2, "has 3 cells, not 2: a text with a delimiter in it needs quotes"),
        ("to,text\n,Hi\n", 2, "no number: column to"),
        ("to,text\n998901,\n", 2, "no text: column text, or --text"),
        ("to,text,esme\n998901,Hi,0\n", 2, "no link or pool: column esme, or --esme, a number from 1"),
        ("to,text,esme\n998901,Hi,x\n", 2, "no link or pool: column esme, or --esme, a number from 1"),
        ("to,text,esme\n998901,Hi,9223372036854775808\n", 2, "no link or pool"),
        ("to,text,task_id\n998901,Hi,x\n", 2, "task_id is not a number"),
        (f"to,text\n998901,{'é' * 501}\n", 2, "the text has more than 1000 octets"),
        (b"to,text\n998901,\xff\n", 2, "is not UTF-8 text"),
        ('to,text\n998901,"Hi\n', 2, "cannot be read: unexpected end of data"),
        ('to,text\n998901,"Hi"x\n', 2, "cannot be read: ',' expected after '\"'"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, content: str | bytes, line: int, message: str) -> None:
    (fault,) = read(tmp_path, content)
    assert isinstance(fault, RowFault)
    assert fault.message.startswith(message)
    assert fault.line == line


def test_no_sender_is_a_fault_of_the_row(tmp_path: Path) -> None:
    (fault,) = read(tmp_path, "998901,Hi\n", Defaults(esme=1))
    assert fault == RowFault(1, "no sender: column from, or --from")


def test_faults_do_not_hide_the_rows_after_them(tmp_path: Path) -> None:
    kinds = [type(row) for row in read(tmp_path, "to,text\n,Hi\n998901,Hi\n998902,\n")]
    assert kinds == [RowFault, Row, RowFault]


def keys(rows: list[Row | RowFault]) -> list[str]:
    return [row.key for row in rows if isinstance(row, Row)]


def test_a_row_keeps_its_key_when_rows_come_and_go_around_it(tmp_path: Path) -> None:
    before = keys(read(tmp_path, "1998901,one\n1998902,two\n1998903,three\n"))
    after = keys(read(tmp_path, "1998900,new\n+1998903,three\n1998901,one\n"))
    assert after[1:] == [before[2], before[0]]
    assert after[0] not in before


def test_equal_rows_are_different_messages_and_the_same_ones_in_the_next_run(tmp_path: Path) -> None:
    once = keys(read(tmp_path, "1998901,Hi\n1998901,Hi\n1998901,Hi\n"))
    assert len(set(once)) == 3
    assert keys(read(tmp_path, "1998901,Hi\n1998902,Hi\n1998901,Hi\n"))[::2] == once[:2]


def test_another_text_or_transaction_id_is_another_message_and_another_link_is_not(tmp_path: Path) -> None:
    header = "to,text,esme,transaction_id\n"
    (plain,) = keys(read(tmp_path, f"{header}998901,Hi,1,\n"))
    assert keys(read(tmp_path, f"{header}998901,Hi,2,\n")) == [plain]
    assert keys(read(tmp_path, f"{header}998901,Ho,1,\n")) != [plain]
    assert keys(read(tmp_path, f"{header}998901,Hi,1,t\n")) != [plain]


_CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_CELL.filter(str.strip), min_size=1, max_size=8))
def test_any_text_that_csv_can_write_is_read_as_it_was(tmp_path: Path, texts: list[str]) -> None:
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerows([("to", "text"), *((f"9989{number}", text) for number, text in enumerate(texts))])
    assert [sms.message for sms in messages(read(tmp_path, written.getvalue()))] == texts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_octets_are_rows_or_faults(tmp_path: Path, octets: bytes) -> None:
    for row in read(tmp_path, octets):
        assert isinstance(row, Row | RowFault)

"""The state of a campaign, over crashes, other runs and other files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smsproxy.cli.campaign_file import Row
from smsproxy.cli.sent_file import SentFile, SentFileError
from smsproxy.client import Sms, SmsAnswer


def a_row(key: str = "k1", transaction_id: str = "") -> Row:
    return Row(2, Sms(1, "S", "998901", "secret text", transaction_id=transaction_id), key)


ANSWER = SmsAnswer("submitted", True, esme=100, message_id="m-1")


def test_what_was_accepted_is_known_to_the_next_run_under_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "c.csv.sent"
    with SentFile(path, 1) as sent:
        first = sent.transaction_id(a_row())
        sent.add(a_row("k1"), ANSWER)
        sent.add(a_row("k2"), ANSWER)
    with SentFile(path, 1) as again:
        assert again.accepted == {"k1", "k2"}
        assert again.transaction_id(a_row()) == first
    assert path.read_text().splitlines()[1:] == ["k1\t2\tm-1\t100", "k2\t2\tm-1\t100"]


def test_neither_numbers_nor_texts_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "c.csv.sent"
    with SentFile(path, 1) as sent:
        sent.add(a_row(), ANSWER)
    assert "998901" not in path.read_text()
    assert "secret" not in path.read_text()


def test_the_name_is_on_the_disk_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "c.csv.sent"
    with SentFile(path, 1) as sent:
        assert json.loads(path.read_text()) == {
            "smsproxy_campaign": 1,
            "id": sent.campaign_id,
            "app": 1,
        }


def test_another_campaign_has_another_name_and_its_ids_fit_the_api(tmp_path: Path) -> None:
    key = "0123456789abcdef01234567"
    with SentFile(tmp_path / "a", 1) as one, SentFile(tmp_path / "b", 1) as other:
        ids = {one.transaction_id(a_row(key)), other.transaction_id(a_row(key))}
    assert len(ids) == 2
    assert all(len(one) <= 64 and one.isascii() and one.isprintable() for one in ids)


def test_a_transaction_id_of_the_rows_own_is_kept(tmp_path: Path) -> None:
    with SentFile(tmp_path / "a", 1) as sent:
        assert sent.transaction_id(a_row(transaction_id="mine")) == "mine"


def test_a_line_that_a_crash_cut_is_not_believed_and_spoils_none_after_it(tmp_path: Path) -> None:
    path = tmp_path / "c.csv.sent"
    with SentFile(path, 1) as sent:
        sent.add(a_row("k1"), ANSWER)
    with path.open("a") as cut:
        cut.write("k2\t3\tm-")
    with SentFile(path, 1) as again:
        assert again.accepted == {"k1"}
        again.add(a_row("k3"), ANSWER)
    with SentFile(path, 1) as last:
        assert {"k1", "k3"} <= last.accepted


@pytest.mark.parametrize("begun", ["", '{"smsproxy_campaign": 1, "id": "0'])
def test_a_crash_over_the_first_line_begins_anew(tmp_path: Path, begun: str) -> None:
    path = tmp_path / "c.csv.sent"
    path.write_text(begun)
    with SentFile(path, 1) as sent:
        campaign_id = sent.campaign_id
    with SentFile(path, 1) as again:
        assert again.campaign_id == campaign_id


@pytest.mark.parametrize(
    "foreign", ["to,text\n", "[]\n", '{"id": 1}\n', '{"smsproxy_campaign": 2, "id": "", "app": 1}\n']
)
def test_a_file_that_is_no_state_is_left_alone(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "c.csv.sent"
    path.write_text(foreign)
    with pytest.raises(SentFileError, match="is not the state of a campaign"):
        SentFile(path, 1)
    assert path.read_text() == foreign


def test_a_campaign_goes_on_as_the_app_that_began_it(tmp_path: Path) -> None:
    SentFile(tmp_path / "a", 1).close()
    with pytest.raises(SentFileError, match="was begun by app 1, not 2"):
        SentFile(tmp_path / "a", 2)


def test_two_runs_at_once_are_one_too_many(tmp_path: Path) -> None:
    first = SentFile(tmp_path / "a", 1)
    with pytest.raises(SentFileError, match="another run sends this campaign"):
        SentFile(tmp_path / "a", 1)
    first.close()
    SentFile(tmp_path / "a", 1).close()

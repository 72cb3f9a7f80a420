"""Rows 2, 3 and 4 of the reliability matrix, shortened: a link is cut, falls silent, or answers wrongly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rows_kit import SOAK, Campaign, check_ledger, metrics

from smsproxy.simulator import ledger
from tests.flow.kit import Client, Config, Daemon, Smsc, running, sms

WINDOW = 20
SCALE = 20 if SOAK else 1


def a_pool(folder: Path, first: Smsc, second: Smsc) -> Path:
    """Links 100 and 101 to two SMSCs, in pool 1000."""
    other = {"host": "127.0.0.1", "port": second.port, "system_id": "other", "password": "x"}
    shared = {"window": WINDOW, "rate_per_s": 0, "reconnect_max_s": 0.05}
    tables = {
        "links.100": shared,
        "links.101": {**other, **shared},
        "pools.1000": {"members": [{"link": 100}, {"link": 101}]},
    }
    return Config(folder, first.port, tables).write()


def test_row_2_a_link_that_is_cut_again_and_again_doubles_and_loses_nothing(tmp_path: Path) -> None:
    cutting = {"cut_after_submits": 60, "answer_delay_s": 0.02}
    campaign = Campaign.of(2000 * SCALE)
    with (
        running(Smsc(tmp_path / "cut", cutting)) as cut,
        running(Smsc(tmp_path / "good", {"answer_delay_s": 0.02})) as good,
    ):
        with running(Daemon(a_pool(tmp_path, cut, good))) as daemon, Client(daemon.target) as client:
            daemon.wait_bound(100)
            daemon.wait_bound(101)
            ends = campaign.send(client, esme=1000)
            cuts = sum('"link_down"' in line and '"link_id": 100' in line for line in daemon.lines)
            assert cuts >= 3
            daemon.wait_count('"event": "link_bound"', cuts + 2, timeout_s=3)
        cut_entries, good_entries = cut.entries(), good.entries()
    assert set(ends) <= {"submitted", "unknown"}
    assert cuts <= ends["unknown"] <= cuts * WINDOW
    assert {answer.esme for answer in campaign.said.values() if answer.status == "unknown"} == {100}
    assert all(entry.answer == 0 for entry in ledger.submits(good_entries))
    check_ledger(campaign, [*cut_entries, *good_entries])


@pytest.mark.long
def test_row_3_what_is_never_answered_is_in_doubt_and_never_sent_again(tmp_path: Path) -> None:
    campaign = Campaign.of(600 * SCALE)
    script = {"rules": [{"do": "silent", "every": 100}], "answer_delay_s": 0.002}
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        settings = {"response_timeout_s": 0.5, "window": WINDOW, "rate_per_s": 500, "burst": 1}
        config = Config(
            tmp_path, smsc.port, {"links.100": settings, "http": {"listen": f"unix:{tmp_path}/http.sock"}}
        ).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            ends = campaign.send(client)
            assert metrics(tmp_path / "http.sock")['smsproxy_link_window_in_use{link="100"}'] == 0
            assert daemon.count_lines('"link_down"') == 0
        entries = smsc.entries()
    silent = [entry.text for entry in ledger.submits(entries) if entry.answer is None]
    doubtful = [campaign.texts[key] for key, answer in campaign.said.items() if answer.status == "unknown"]
    assert ends == {"submitted": 594 * SCALE, "unknown": 6 * SCALE}
    assert sorted(map(str, silent)) == sorted(doubtful)
    check_ledger(campaign, entries)


def test_row_3_three_silences_in_a_row_end_the_session_and_the_link_binds_again(tmp_path: Path) -> None:
    campaign = Campaign.of(5)
    script = {"rules": [{"do": "silent", "at_most": 3}]}
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        config = Config(tmp_path, smsc.port, {"links.100": {"response_timeout_s": 0.3, "window": 1}}).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            for key, text in list(campaign.texts.items())[:3]:
                campaign.note(client.send(sms(transaction_id=key, message=text)))
            assert '"reason": "silent"' in daemon.wait_line('"link_down"')
            daemon.wait_count('"event": "link_bound"', 2)
            for key, text in list(campaign.texts.items())[3:]:
                campaign.note(client.send(sms(transaction_id=key, message=text)))
        entries = smsc.entries()
    assert [answer.status for answer in campaign.said.values()] == ["unknown"] * 3 + ["submitted"] * 2
    check_ledger(campaign, entries)


@pytest.mark.long
def test_row_4_late_and_wrong_answers_settle_only_what_they_belong_to(tmp_path: Path) -> None:
    odd = ("unknown_sequence", "repeat", "wrong_type", "nack_zero")
    each = 20 * SCALE
    rules: list[dict[str, Any]] = [{"do": kind, "text_contains": kind} for kind in odd]
    rules += [
        {"do": "late", "after_s": 1.0, "text_contains": "late"},
        {"do": "nack", "status": "ESME_RSYSERR", "text_contains": "nack message"},
    ]
    kinds = (*odd, "nack", "late")
    campaign = Campaign(
        {f"{kind}-{number}": f"{kind} message {number}" for number in range(each) for kind in kinds}
    )
    # A link that answers nothing for a while is cut: good answers come until the last late one.
    campaign.texts |= Campaign.of(10 * each, "good").texts
    with running(Smsc(tmp_path / "smsc", {"rules": rules})) as smsc:
        tables = {
            "links.100": {"response_timeout_s": 0.5, "window": 500, "rate_per_s": 300, "burst": 1},
            "http": {"listen": f"unix:{tmp_path}/http.sock"},
        }
        config = Config(tmp_path, smsc.port, tables).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            campaign.send(client, timeout_s=120)
            for key, answer in campaign.said.items():
                if key.startswith("late"):
                    assert client.wait_status(answer.message_id, "DELIVERED").delivered_count == 1
            counted = metrics(tmp_path / "http.sock")
            assert daemon.count_lines('"link_bound"') == 1
            assert not daemon.count_lines('"link_down"')
        entries = smsc.entries()
    found = Counter((key.split("-")[0], answer.status) for key, answer in campaign.said.items())
    assert found == {
        **{(kind, "submitted"): each for kind in odd},
        ("good", "submitted"): 10 * each,
        ("nack", "rejected"): each,
        ("late", "unknown"): each,
    }
    assert counted['smsproxy_answers_unexpected_total{link="100"}'] == len(odd) * each
    assert counted['smsproxy_submits_settled_late_total{link="100"}'] == each
    check_ledger(campaign, entries)

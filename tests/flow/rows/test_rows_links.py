"""Rows 2, 3 and 4 of the reliability matrix, shortened: a link is cut, falls silent, or answers wrongly."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from held_load import HeldLoad, a_pool, percentile, recipient
from held_pool import LINKS, RATE, SLACK, HeldPool
from rows_kit import SOAK, Campaign, check_ledger
from rows_log import events, most_lines_a_second, times_to_bind_again

from smsproxy.simulator import ledger
from tests.flow.kit import Client, Config, Daemon, Smsc, running, sms

WINDOW = 20


@pytest.mark.long
def test_row_2_a_random_link_is_cut_every_few_seconds_under_held_load(tmp_path: Path) -> None:
    every_s, duration_s = (5, 300) if SOAK else (3, 15)
    period = RATE * every_s
    with HeldPool(tmp_path, {"rules": [{"do": "cut", "text_contains": "cut"}]}) as held:
        marks = dict.fromkeys(range(period // 2, RATE * duration_s, period), "cut")
        with held.load(duration_s, lambda number: marks.get(number, "")) as load:
            pass
        cuts = events(held.daemon, "link_down")
        assert len(cuts) == duration_s // every_s
        held.daemon.wait_count('"event": "link_bound"', LINKS + len(cuts))
        in_doubt = held.parts_in_doubt(load)
        assert in_doubt == held.counted("submits_in_doubt_total")
        entries = held.entries()
    assert set(load.campaign.ends) == {"submitted", "unknown"}
    assert len(cuts) <= in_doubt <= 50 * len(cuts)
    assert share_taken_by_other_links(load, cuts) >= 0.999
    assert max(times_to_bind_again(held.daemon)) <= 3 * SLACK
    check_ledger(load.campaign, entries, held.config)


def share_taken_by_other_links(load: HeldLoad, cuts: list[dict[str, Any]]) -> float:
    """Of what went over the links that were not cut in the two seconds after a cut: the share accepted."""
    wall = time.time() - time.monotonic()
    others = [
        trip.answer.status
        for cut in cuts
        for trip in load.trips.values()
        if trip.answer.esme != cut["link_id"] and 0 <= trip.ended_at + wall - cut["at"] <= 2
    ]
    return others.count("submitted") / len(others)


def test_row_2_a_link_that_is_cut_again_and_again_doubles_and_loses_nothing(tmp_path: Path) -> None:
    cutting = {"cut_after_submits": 60, "answer_delay_s": 0.02}
    campaign = Campaign.of(2000)
    with (
        running(Smsc(tmp_path / "cut", cutting)) as cut,
        running(Smsc(tmp_path / "good", {"answer_delay_s": 0.02})) as good,
    ):
        config = a_pool(tmp_path, [cut.port, good.port], window=WINDOW, reconnect_max_s=0.05)
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
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
    check_ledger(campaign, [*cut_entries, *good_entries], config)


@pytest.mark.long
def test_row_3_what_is_never_answered_is_in_doubt_and_never_sent_again(tmp_path: Path) -> None:
    timeout_s, duration_s = (5.0, 60) if SOAK else (1.0, 10)
    script = {"rules": [{"do": "silent", "every": 100}]}
    with HeldPool(tmp_path, script, response_timeout_s=timeout_s) as held:
        with held.load(duration_s) as load:
            pass
        assert held.counted("link_window_in_use") == 0, "six seconds after the end: the load waited for all"
        assert held.parts_in_doubt(load) == held.counted("submits_in_doubt_total")
        last = max(trip.sent_at for trip in load.trips.values())
        wall = time.time() - time.monotonic()
        lost = events(held.daemon, "link_down")
        # Once nothing more is sent, what is outstanding is silence in a row, and ends the session.
        assert all(one["at"] > last + wall and one["reason"] == "silent" for one in lost)
        entries = held.entries()
    silent = [entry for entry in ledger.submits(entries) if entry.answer is None]
    doubtful = {key for key, answer in load.campaign.said.items() if answer.status == "unknown"}
    assert {entry.destination for entry in silent} == {recipient(int(key[5:])) for key in doubtful}
    assert 0 <= len(ledger.submits(entries)) / 100 - len(silent) < LINKS
    assert set(load.campaign.ends) == {"submitted", "unknown"}
    written = {entry.destination: entry.at for entry in silent}  # the last one, of parts
    waits = sorted(
        trip.ended_at + wall - written[recipient(int(key[5:]))]
        for key, trip in load.trips.items()
        if trip.answer.status == "unknown" and trip.ended_at < last
    )
    assert percentile(waits, 0.99) <= timeout_s + 0.5 * SLACK
    assert load.waits(lambda trip: trip.answer.status == "unknown" and trip.ended_at < last)[0] >= timeout_s
    check_ledger(load.campaign, entries, held.config)


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
    check_ledger(campaign, entries, config)


@pytest.mark.long
def test_row_4_late_and_wrong_answers_settle_only_what_they_belong_to(tmp_path: Path) -> None:
    timeout_s, duration_s = (5.0, 60) if SOAK else (1.0, 10)
    odd = ("unknown_sequence", "repeat", "wrong_type", "nack_zero")
    kinds = (*odd, "nack")  # each of them every 60th message: 1,000 of a minute at full rate
    rules: list[dict[str, Any]] = [{"do": kind, "text_contains": f"{kind} held"} for kind in kinds]
    rules.append({"do": "late", "after_s": timeout_s + 2, "every": 100})
    with HeldPool(tmp_path, {"rules": rules}, response_timeout_s=timeout_s) as held:
        with held.load(duration_s, lambda number: dict(enumerate(kinds)).get(number % 60, "")) as load:
            pass
        late = [answer for answer in load.campaign.said.values() if answer.status == "unknown"]
        assert len(late) >= RATE * duration_s / 100 - LINKS
        for answer in late:
            held.wait_delivered(answer.message_id, 2 + 1 * SLACK)
        submits, answered = held.counted("submits_settled_late_total"), held.counted("submits_in_doubt_total")
        assert submits == answered >= len(late)
        unexpected = held.counted("answers_unexpected_total")
        assert most_lines_a_second(held.daemon) <= 1
        assert held.daemon.count_lines('"link_down"') == 0
        entries = held.entries()
    marked = Counter(
        word
        for entry in ledger.submits(entries)
        if (word := (entry.text or "").split(" ")[0]) in kinds and entry.segment_no == 1
    )
    refused = {key for key, answer in load.campaign.said.items() if answer.status == "rejected"}
    assert {load.campaign.texts[key].split()[0] for key in refused} == {"nack"}
    assert len(refused) == marked["nack"]
    assert unexpected == sum(marked[kind] for kind in odd)
    assert set(load.campaign.ends) == {"submitted", "unknown", "rejected"}
    check_ledger(load.campaign, entries, held.config)

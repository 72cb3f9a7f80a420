"""Blacklist files: what a line may be, what is said about a bad one, and what a lookup finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.policy import blacklist as blacklist_module
from smsproxy.policy.blacklist import MAX_NAMED_PROBLEMS, Blacklist, BlacklistWatch, load

NUMBERS = st.text("0123456789", min_size=1, max_size=20)


def load_text(tmp_path: Path, text: str | bytes) -> Blacklist:
    path = tmp_path / "blacklist.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load([path])


@pytest.mark.parametrize(
    "line",
    [
        "998901234567",
        "+998901234567",
        " 998901234567 \r",
        "998901234567,asked in writing",
        "998901234567;x",
        "998901234567\tx",
        '"+998901234567","x"',
        "'998901234567'",
        "998901234567 # court order",
        "+998901234567 , 2026-01-01",
        "99890*",
        "+998*,the whole country",
        '"99890123*"',
        "998901234567*",
    ],
)
def test_a_number_is_found_however_it_is_written(tmp_path: Path, line: str) -> None:
    listed = load_text(tmp_path, f"# made by hand\n\nnumber,reason\n{line}\n")
    assert listed.contains("998901234567")
    assert not listed.contains("79161234567")
    assert (len(listed), listed.problem_count) == (1, 0)


@pytest.mark.parametrize("text", [b"", b"\n\n", b"# nothing\n", b"\xef\xbb\xbfphone;why\n", b'"msisdn"\n'])
def test_a_file_without_numbers_lists_nobody(tmp_path: Path, text: bytes) -> None:
    listed = load_text(tmp_path, text)
    assert (len(listed), listed.problems) == (0, ())
    assert not listed.contains("998901234567")


@pytest.mark.parametrize(
    "line",
    [
        "*", "+", "99 890 1234567", "99890123456x", "phone", "1" * 21, "++998901234567", "998*90",
        "9989\0", "٩٩٨", "-998901234567", ",998901234567",
    ],
)  # fmt: skip
def test_a_bad_line_is_named_by_file_and_line_without_its_content(tmp_path: Path, line: str) -> None:
    listed = load_text(tmp_path, f"998900000000\n{line}\n998900000001\n")
    assert listed.problems == (f"{tmp_path}/blacklist.csv:2: not a number or prefix* of 1 to 20 digits",)
    assert listed.contains("998900000000")
    assert listed.contains("998900000001")


def test_only_the_first_line_may_be_a_header(tmp_path: Path) -> None:
    assert load_text(tmp_path, "number\nreason\n").problem_count == 1


def test_a_byte_order_mark_hides_no_number(tmp_path: Path) -> None:
    listed = load_text(tmp_path, b"\xef\xbb\xbf998901234567\r\n")
    assert listed.contains("998901234567")
    assert listed.problem_count == 0


def test_many_bad_lines_are_counted_and_few_are_named(tmp_path: Path) -> None:
    listed = load_text(tmp_path, "1\n" + "bad\n" * 1_000)
    assert (listed.problem_count, len(listed.problems)) == (1_000, MAX_NAMED_PROBLEMS)


def test_a_missing_file_is_reported_and_the_others_count(tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text("998901234567\n")
    listed = load([tmp_path / "gone.csv", there, tmp_path])
    assert listed.unreadable == (f"{tmp_path}/gone.csv", str(tmp_path))
    assert listed.problems[0] == f"{tmp_path}/gone.csv: No such file or directory; treated as empty"
    assert listed.contains("998901234567")
    assert repr(listed) == "<Blacklist numbers=1 prefixes=0 problems=2>"


def test_leading_zeros_and_length_are_part_of_a_number(tmp_path: Path) -> None:
    listed = load_text(tmp_path, "00123\n0*\n12345678901234567890\n")
    assert listed.contains("00123")
    assert listed.contains("0456")
    assert not listed.contains("123")
    assert not listed.contains("1234567890123456789")
    assert listed.contains("12345678901234567890")


@pytest.mark.parametrize("daddr", ["", "BRAND", "12a", "+998901234567"])
def test_what_is_no_number_is_not_listed(tmp_path: Path, daddr: str) -> None:
    assert not load_text(tmp_path, "998901234567\n").contains(daddr)


@given(st.lists(NUMBERS, max_size=80), st.lists(NUMBERS, max_size=4), st.lists(NUMBERS, max_size=10))
def test_a_lookup_answers_as_a_plain_set_would(
    tmp_path_factory: pytest.TempPathFactory, listed: list[str], prefixes: list[str], others: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.csv"
    path.write_text("".join(f"{number}\n" for number in listed) + "".join(f"{p}*\n" for p in prefixes))
    found = load([path])
    assert len(found) == len(set(listed)) + len(set(prefixes))
    for number in listed + others:
        assert found.contains(number) == (number in listed or number.startswith(tuple(prefixes)))


def test_a_file_past_the_bound_is_cut_and_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blacklist_module, "MAX_ENTRIES", 4_000)
    listed = load_text(tmp_path, "".join(f"{n}\n" for n in range(1_000_000, 1_010_000)))
    assert listed.problems == (
        f"{tmp_path}/blacklist.csv:4096: more than 4000 entries, the rest is left out",
    )
    assert len(listed) == 4_096


def test_a_hundred_thousand_numbers_take_eight_bytes_each(tmp_path: Path) -> None:
    listed = load_text(tmp_path, "".join(f"{n}\n" for n in range(998_900_000_000, 998_900_300_000, 3)))
    packed = len(listed._numbers) * listed._numbers.itemsize + len(listed._starts) * listed._starts.itemsize
    assert packed < 100_000 * 10
    assert listed.contains("998900299997")
    assert not listed.contains("998900299998")


def test_a_watch_tells_once_about_every_change(tmp_path: Path) -> None:
    path = tmp_path / "blacklist.csv"
    watch = BlacklistWatch([path])
    assert watch.changed()
    assert not watch.changed()
    path.write_text("1\n")
    assert watch.changed()
    os.utime(path, ns=(1, 1))
    assert watch.changed()
    assert not watch.changed()
    replacement = tmp_path / "new.csv"
    replacement.write_text("2\n")
    os.utime(replacement, ns=(1, 1))
    replacement.replace(path)
    assert watch.changed()
    path.unlink()
    assert watch.changed()
    assert not watch.changed()

"""What the latency figures rest on: when a message was due, how durations are counted, what the plot has."""

from __future__ import annotations

import json
import math
import random
import socket
import subprocess
import sys
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import run
from tests.bench.histogram import Histogram
from tests.bench.latency import CURVE, SHOWN, LatencyResult, Plan, Point, rows
from tests.bench.messages import Request
from tests.bench.openloop import OpenStreamDriver, Pace
from tests.bench.plot import write
from tests.bench.probe import probing
from tests.bench.sides import Round
from tests.bench.streaming import Lane
from tests.bench.svg import Curve, Panel, figure
from tests.bench.tally import OpenLoop, Tally

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def test_percentiles_of_a_histogram_are_the_true_ones_rounded_up_by_less_than_one_percent() -> None:
    chance = random.Random(7)
    true_us = sorted(int(chance.lognormvariate(8, 2)) for _ in range(20_000))
    seen = Histogram()
    for us in true_us:
        seen.record((us + 0.5) / 1e6)
    for percent in (1, 50, 90, 99, 99.9):
        exact = true_us[math.ceil(len(true_us) * percent / 100) - 1]
        assert exact <= seen.percentile_us(percent) <= exact * 1.01
    assert seen.percentile_us(100) == seen.max_us == true_us[-1]


def test_histograms_merge_and_travel_as_json() -> None:
    one, other = Histogram(), Histogram()
    for ms in range(100):
        (one if ms % 2 else other).record(ms / 1000)
    one.merge(Histogram.from_json(json.loads(json.dumps(other.as_json()))))
    assert (one.count, one.max_us) == (100, 99_000)
    assert one.percentile_us(50) == pytest.approx(49_000, rel=0.01)


def test_what_no_clock_or_everything_takes_has_a_place_in_the_histogram() -> None:
    seen = Histogram()
    seen.record(-0.000_001)
    seen.record(1e9)
    assert (seen.count, seen.percentile_us(50), seen.max_us) == (2, 0, 10**15)
    assert Histogram().percentile_us(99) == 0


def test_the_messages_of_all_lanes_together_are_due_at_the_rate() -> None:
    lanes = [Pace(1000, lane, 3) for lane in range(3)]
    for pace in lanes:
        pace.begin(5.0)
    due = sorted(pace.at(number) for pace in lanes for number in range(100))
    assert due == pytest.approx([5 + number / 1000 for number in range(300)])
    assert [pace.due(4.999) for pace in lanes] == [0, 0, 0]
    assert sum(pace.due(5.100_5) for pace in lanes) == 101


class Wire:
    """A connection whose server gives window for `room` messages."""

    def __init__(self, lane: Lane, room: int) -> None:
        self.window = 2**31 - 1
        self.windows = {lane.stream_id: room * lane.template.octets}
        self.written = b""

    def write(self, octets: bytes) -> None:
        self.written += octets


def test_a_message_that_the_server_held_up_is_as_slow_as_it_was_since_it_was_due() -> None:
    open_ = OpenLoop(100)
    lane = Lane(1, Request(), 0, 10)
    driver = OpenStreamDriver({lane: Pace(100, 0, 1)}, open_, Tally(10, open_), lambda: None)
    driver.begin(1000.0)
    wire = driver.connection = Wire(lane, room=2)
    driver.send_due(1000.045)  # five are due: 0, 10, 20, 30, 40 ms
    assert (lane.sent, open_.held) == (2, 3)
    assert open_.lateness.max_us == pytest.approx(45_000, rel=0.01)
    wire.windows[1] = 100 * lane.template.octets
    driver.send_due(1000.9)
    assert (lane.sent, open_.held) == (10, 3)
    assert open_.lateness.count == 10
    driver._measure(lane, 5, 1001.0)
    assert open_.latency.max_us == pytest.approx(1_000_000, rel=0.01)
    assert open_.latency.percentile_us(1) == pytest.approx(960_000, rel=0.01)


@pytest.mark.parametrize("kind", [("--streams", "3", "--connections", "2"), ("--unary", "--streams", "2")])
def test_an_open_loop_run_measures_every_message(kind: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.echo"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as echo:
        try:
            assert echo.stdout is not None
            target = json.loads(echo.stdout.readline())["listening"]
            command = [sys.executable, "-m", "tests.bench.load", "--json", "--target", target]
            command += ["--messages", "301", "--rate", "600", "--timeout-s", "30", *kind]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
        finally:
            echo.terminate()
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    latency = Histogram.from_json(report["open"]["latency"])
    assert (latency.count, report["succeeded"]) == (301, 301)
    assert Histogram.from_json(report["open"]["lateness"]).count == 301
    assert report["wall_s"] >= 0.5  # 301 messages at 600 a second
    assert report["max_ms"] == latency.percentile_ms(100) > 0


def test_the_probe_sees_how_long_the_smsc_takes() -> None:
    def answer() -> None:
        peer, _ = listener.accept()
        with peer:
            while (asked := peer.recv(16)) and len(asked) == 16:
                answers.append(asked)
                peer.sendall(asked[:4] + b"\x80\0\0\x15" + asked[8:])
                if len(answers) == 3:
                    three.set()

    answers: list[bytes] = []
    three = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        with probing(f"127.0.0.1:{listener.getsockname()[1]}") as seen:
            assert three.wait(10)
        thread.join(10)
    assert seen.count >= 3
    assert seen.max_us > 0


def point(percent: int, latency_ms: float) -> Point:
    made = Point(percent, percent * 100.0)
    figures = dict.fromkeys(Round.__dataclass_fields__, 1.0) | {"messages_per_s": percent * 99.0}
    seen, smsc = Histogram(), Histogram()
    seen.record(latency_ms / 1000)
    smsc.record(0.001)
    report = {"latency": seen.as_json(), "lateness": smsc.as_json(), "held": 4}
    made.take(Round(**figures), report, smsc)
    made.take(Round(**figures), report, smsc)
    return made


def test_what_is_added_is_what_remains_over_the_smscs_own_delay() -> None:
    document = point(50, 13.0).as_json()
    assert document["added_ms"]["p99"] == pytest.approx(12.0, rel=0.01)
    assert document["added_p99_ms_by_round"] == pytest.approx([12.0, 12.0], rel=0.01)
    assert (document["messages"], document["held_by_server"], document["achieved_per_s"]) == (2, 8, 4950)


def test_the_plot_is_well_formed_and_has_every_point(tmp_path: Path) -> None:
    results = [
        LatencyResult(row, 10_000, [point(percent, percent / 3) for percent in CURVE]) for row in rows()
    ]
    write(tmp_path / "build" / "bench.svg", results, "here & now")
    root = ElementTree.parse(tmp_path / "build" / "bench.svg").getroot()
    assert root.tag == f"{SVG}svg"
    tips = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert len(tips) == 2 * 3 * len(CURVE)
    assert "answered: 4,950 at 5,000" in tips
    assert len(list(root.iter(f"{SVG}polyline"))) == 2 * 4
    assert "here & now" in [text.text for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("log", [False, True])
def test_points_lie_inside_their_axes(*, log: bool) -> None:
    curve = Curve("c", "#000", [(1, 0.01), (70, 3), (1234, 777)])
    root = ElementTree.fromstring(figure([Panel("t", "x", "y", [curve], log=log)], 1, "caption"))
    places = [(float(dot.get("cx", 0)), float(dot.get("cy", 0))) for dot in root.iter(f"{SVG}circle")]
    assert places == sorted(places, key=lambda place: (place[0], -place[1]))
    assert all(64 <= x <= 444 and 46 <= y <= 252 for x, y in places)


def test_rounds_of_the_shown_shares_take_turns() -> None:
    assert Plan(SHOWN, 1, 2, 1000).order() == [10, 50, 80, 10, 50, 80]
    assert Plan((10, 20, 50), 1, 2, 1000).order() == [10, 20, 50, 10, 50]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("", list(run.PARTS)),
        ("--latency --plot", ["latency", "plot"]),
        ("--rows stream", ["ratios"]),
        ("--stored 1000 --growth", ["ratios", "growth"]),
    ],
)
def test_options_name_the_parts_of_a_run(words: str, parts: list[str]) -> None:
    assert run.arguments(words.split()).parts == parts


@pytest.mark.parametrize("words", ["--seconds 0", "--rows nothing", "--rounds 0"])
def test_bad_options_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run.arguments(words.split())
    assert "error: " in capsys.readouterr().err

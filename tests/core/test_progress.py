"""Progress bars and lines: rate, remaining time, cached steps, and output without a terminal."""

import io
import re
import time

import pytest
from rich.console import Console

from pcacam_jax.core import progress as module
from pcacam_jax.core.progress import CACHED, REPORT_INTERVAL, Pace, Progress, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "_clock", clock)
    return clock


def progress_and_output(*, terminal=False, dumb=False):
    progress = Progress()
    environment = {"TERM": "dumb" if dumb else "xterm"}
    progress.console = Console(file=io.StringIO(), force_terminal=terminal, width=120, _environ=environment)
    return progress, progress.console.file


def test_the_rate_and_the_time_left(clock):
    pace = Pace(1000)
    assert str(pace) == ""
    clock.now += 5
    pace.add(100)
    assert pace.rate == 20
    assert str(pace) == "20.0/s, 0:45 left"
    pace.add(900)
    assert str(pace) == "200/s"


def test_the_rate_covers_the_last_minute(clock):
    pace = Pace(10**6)
    for rate, seconds in ((1, 300), (50, 61)):
        for _ in range(seconds):
            clock.now += 1
            pace.add(rate)
    assert pace.rate == pytest.approx(50, rel=0.04)


@pytest.mark.parametrize(("steps", "now"), [(600, CACHED), (0, "waiting")])
def test_cached_steps_and_waiting_do_not_count_in_the_rate(clock, steps, now):
    progress, file = progress_and_output()
    with progress.bar("features", 1000) as advance:
        clock.now += 2
        advance(100)
        clock.now += 1000
        advance(steps, now)
        clock.now += 40
        advance(200)
    assert f"features {300 + steps} of 1,000, 5.00/s" in file.getvalue()


@pytest.mark.parametrize(("rate", "shown"), [(1250, "1,250/s"), (100, "100/s"), (38.24, "38.2/s"), (0.25, "0.25/s")])
def test_a_rate_has_about_three_figures(clock, rate, shown):
    pace = Pace(1)
    clock.now += 100 / rate
    pace.add(100)
    assert str(pace) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (105, "1:45"), (7390, "2:03:10"), (90061, "25:01:01")]
)
def test_a_duration(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize("dumb", [False, True])
def test_without_a_terminal_lines_replace_the_bar(clock, dumb):
    progress, file = progress_and_output(terminal=dumb, dumb=dumb)
    with progress.bar("features", 4000) as advance:
        advance(1000, CACHED)
        for _ in range(65):
            clock.now += 1
            advance(26, "a [batch]")
    assert file.getvalue().splitlines() == [
        "features 1,780 of 4,000, 26.0/s, 1:25 left, a [batch]",
        "features 2,560 of 4,000, 26.0/s, 0:55 left, a [batch]",
        "features done in 1:05",
    ]


def test_short_work_prints_nothing_without_a_terminal(clock):
    progress, file = progress_and_output()
    with progress.bar("features", 10) as advance:
        clock.now += REPORT_INTERVAL - 1
        advance(10)
    assert file.getvalue() == ""


def test_failed_work_is_not_reported_as_done(clock):
    progress, file = progress_and_output()

    def work():
        with progress.bar("features", 10) as advance:
            clock.now += REPORT_INTERVAL
            advance(1)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert file.getvalue().splitlines() == ["features 1 of 10, 0.03/s, 4:30 left"]


def test_a_terminal_gets_a_bar_with_rate_and_time_left(clock):
    progress, file = progress_and_output(terminal=True)
    with progress.bar("features", 4000) as advance:
        advance(1000, CACHED)
        clock.now += 10
        advance(260, "a [batch]")
        progress.say("between")
        end = time.monotonic() + 10
        while "a [batch]" not in without_escapes(file) and time.monotonic() < end:
            time.sleep(0.01)  # the bar is drawn ten times a second
    assert re.search(r"features .*1260/4000 .*26\.0/s, 1:45 left a \[batch\]", without_escapes(file))
    assert "between\n" in without_escapes(file)
    last = re.split(r"[\r\n]+", without_escapes(file).strip())[-1]
    assert "1:45 left" in last
    assert "a [batch]" not in last


def test_quiet_progress_prints_nothing(clock, capsys):
    with Progress(quiet=True).bar("features", 10) as advance:
        clock.now += 100
        advance(10)
    assert capsys.readouterr() == ("", "")


def without_escapes(file):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())

"""Progress on standard error: a bar with rate and remaining time on a terminal, an occasional line elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

CACHED = "from an earlier run"
"""Value of ``now`` for steps whose results an earlier run saved; they move the bar but do not count in its rate."""

REPORT_INTERVAL = 30.0
"""Seconds between the lines that replace the bar without a terminal; shorter work prints nothing there."""

_WINDOW = 30.0
_clock = time.monotonic


class Advance(Protocol):
    """A function that reports the number of steps done since the last call and, optionally, what is done now."""

    def __call__(self, steps: int, /, now: str = "") -> None:
        """Move the bar by ``steps``; a call with no steps or with ``CACHED`` restarts the measurement of the rate."""
        ...


def no_progress(steps: int, /, now: str = "") -> None:
    """Ignore the report; the default where a caller wants no progress."""


class Pace:
    """The number of steps done and their rate over the last 30 to 60 seconds."""

    def __init__(self, total: int):
        self.total = total
        self.done = 0
        self._restart()

    def add(self, steps: int, *, working: bool = True) -> None:
        """Count steps; ``working=False`` excludes them from the rate, for steps whose results were cached."""
        self.done += steps
        self._now = _clock()
        if not working:
            self._restart()
        elif self._now - self._later[0] > _WINDOW:
            self._start, self._later = self._later, (self._now, self.done)

    def _restart(self) -> None:
        self._now = _clock()
        self._start = self._later = (self._now, self.done)

    @property
    def rate(self) -> float | None:
        """Steps per second, or None before it can be measured."""
        start, done = self._start
        return (self.done - done) / (self._now - start) if self.done > done and self._now > start else None

    def __str__(self) -> str:
        if (rate := self.rate) is None:
            return ""
        shown = f"{rate:,.{0 if rate >= 100 else 1 if rate >= 10 else 2}f}/s"
        left = self.total - self.done
        return f"{shown}, {duration(left / rate)} left" if left > 0 else shown


class Progress:
    """Shows a progress bar for each long task.

    Args:
        quiet: print nothing.
    """

    def __init__(self, *, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """Show a bar while the block runs; yields a function of type :class:`Advance`."""
        console = self.console
        drawn = console.is_jupyter or (console.is_terminal and not console.is_dumb_terminal)
        with (self._drawn if drawn else self._printed)(description, total) as show:
            pace = Pace(total)

            def advance(steps: int, /, now: str = "") -> None:
                pace.add(steps, working=steps > 0 and now != CACHED)
                show(pace, now)

            yield advance

    @contextmanager
    def _drawn(self, description: str, total: int) -> Iterator[Callable[[Pace, str], None]]:
        columns = (
            TextColumn("{task.description:>14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}"),
            TextColumn("{task.fields[now]}", markup=False),
        )
        with Bars(*columns, console=self.console) as bars:
            task = bars.add_task(description, total=total, now="", pace="")
            yield lambda pace, now: bars.update(task, completed=pace.done, pace=str(pace), now=now)
            bars.update(task, now="")

    @contextmanager
    def _printed(self, description: str, total: int) -> Iterator[Callable[[Pace, str], None]]:
        start = last = _clock()

        def show(pace: Pace, now: str) -> None:
            nonlocal last
            if _clock() - last >= REPORT_INTERVAL:
                last = _clock()
                words = (f"{description} {pace.done:,} of {total:,}", str(pace), now)
                self.say(", ".join(word for word in words if word))

        yield show
        if _clock() - start >= REPORT_INTERVAL:
            self.say(f"{description} done in {duration(_clock() - start)}")

    def say(self, text: str) -> None:
        """Print one line as it is: brackets are not markup, and long lines are not wrapped."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours from one hour on: ``1:45``, ``2:03:10``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

"""Progress on the standard error: a bar with rate and time left on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

KEPT = "kept from before"
"""What is being done *now*, for steps that an earlier run had done: they move the bar and do not enter its rate."""

EVERY = 30.0
"""Seconds between the lines that stand for a bar where there is no terminal; shorter work prints nothing there."""

_WINDOW = 30.0
_clock = time.monotonic


class Advance(Protocol):
    """Reports progress: the number of steps done since the last call, and what is being done now."""

    def __call__(self, steps: int, /, now: str = "") -> None:
        """Move the bar; no steps at all, or ``KEPT`` ones, start the clock of the rate anew."""
        ...


def unseen(steps: int, /, now: str = "") -> None:
    """Report progress to nobody."""


class Pace:
    """How many steps are done, and how quickly those of about the last half minute or minute were."""

    def __init__(self, total: int):
        self.total = total
        self.done = 0
        self._restart()

    def add(self, steps: int, *, working: bool = True) -> None:
        """Count steps; ``working=False`` for those that say nothing about the time that the others take."""
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
        """Steps per second; None before there is one."""
        then, done = self._start
        return (self.done - done) / (self._now - then) if self.done > done and self._now > then else None

    def __str__(self) -> str:
        if (rate := self.rate) is None:
            return ""
        shown = f"{rate:,.{0 if rate >= 100 else 1 if rate >= 10 else 2}f}/s"
        left = self.total - self.done
        return f"{shown}, {duration(left / rate)} left" if left > 0 else shown


class Progress:
    """Draws one bar for each long piece of work."""

    def __init__(self, *, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """Show a bar while the block runs; call what is yielded as :class:`Advance` says."""
        console = self.console
        drawn = console.is_jupyter or (console.is_terminal and not console.is_dumb_terminal)
        with (self._drawn if drawn else self._printed)(description, total) as show:
            pace = Pace(total)

            def advance(steps: int, /, now: str = "") -> None:
                pace.add(steps, working=steps > 0 and now != KEPT)
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
            if _clock() - last >= EVERY:
                last = _clock()
                parts = (f"{description} {pace.done:,} of {total:,}", str(pace), now)
                self.say(", ".join(part for part in parts if part))

        yield show
        if _clock() - start >= EVERY:
            self.say(f"{description} done in {duration(_clock() - start)}")

    def say(self, text: str) -> None:
        """Print one line, whatever brackets it has and however long it is."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours where there are any: ``1:45``, ``2:03:10``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

"""Progress bars on the standard error, with the step's name and the time left; silent where nobody looks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Advance(Protocol):
    """Reports progress: the number of steps done since the last call, and what is being done now."""

    def __call__(self, steps: int, /, now: str = "") -> None:
        """Move the bar."""
        ...


def unseen(steps: int, /, now: str = "") -> None:
    """Report progress to nobody."""


class Progress:
    """Draws one bar for each long piece of work."""

    def __init__(self, *, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """Show a bar while the block runs; call what is yielded as :class:`Advance` says."""
        columns = (
            TextColumn("{task.description:>14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}", markup=False),
        )
        with Bars(*columns, console=self.console) as bars:
            task = bars.add_task(description, total=total, now="")

            def advance(steps: int, /, now: str = "") -> None:
                bars.update(task, advance=steps, now=now)

            yield advance
            bars.update(task, now="")

    def say(self, text: str) -> None:
        """Print one line, whatever brackets it has and however long it is."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

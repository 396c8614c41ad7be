"""Progress bars on the standard error, with rate and time left; silent where nobody looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress:
    """Draws one bar for each long piece of work."""

    def __init__(self, *, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet)

    @contextmanager
    def bar(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show a bar while the block runs; call what is yielded with the number of steps done since the last call."""
        columns = (
            TextColumn("{task.description:>14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=self.console) as bars:
            task = bars.add_task(description, total=total)
            yield lambda steps: bars.advance(task, steps)

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, highlight=False)

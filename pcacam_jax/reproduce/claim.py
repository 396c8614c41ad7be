"""What a claim is, and what measuring it finds."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pcacam_jax.reproduce.outcome import Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Outcomes = Mapping[str, Outcome]
"""The outcomes at hand by the name of their set, in the paper's order."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text, ready to be printed."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What was measured of a claim."""

    tables: tuple[Table, ...] = ()
    verdicts: tuple[str, ...] = ()
    """Plain sentences, computed from the numbers: where the paper's statement holds and where it does not."""
    gaps: tuple[str, ...] = ()
    """Large differences from the paper's numbers, each with what may explain it."""
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The numbers, unrounded, as plain data for JSON."""


def no_figures(outcomes: Outcomes) -> "dict[str, Figure]":
    """Draw nothing."""
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the paper, as a pure function of outcomes."""

    name: str
    title: str
    paper: str
    """Where the paper makes it: "Table 3"."""
    statement: str
    """What the paper says, in our words."""
    sets: tuple[str, ...]
    """The sets that it speaks of, of which at least one must be at hand; none if it needs no data."""
    measure: Callable[[Outcomes], Finding]
    draw: "Callable[[Outcomes], dict[str, Figure]]" = no_figures
    """Figures by the name of their file without suffix."""
    first_seed: bool = False
    """Whether the figures, and what is measured on their images, are of the first seed only."""

    def of(self, outcomes: Outcomes) -> Outcomes:
        """Return the outcomes that this claim speaks of."""
        return {name: outcome for name, outcome in outcomes.items() if name in self.sets}


def mean_and_spread(values: list[float]) -> tuple[float, float | None]:
    """Return the mean and the standard deviation over seeds (unbiased); None for one seed."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def spread_text(values: list[float], digits: int = 3) -> str:
    """Return "0.812 ± 0.004", or the number alone for one seed."""
    mean, spread = mean_and_spread(values)
    return f"{mean:.{digits}f}" if spread is None else f"{mean:.{digits}f} ± {spread:.{digits}f}"

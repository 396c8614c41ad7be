"""The types of a claim and of its measured result."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pcacam_jax.reproduce.outcome import Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Outcomes = Mapping[str, Outcome]
"""The available outcomes by dataset name, in the paper's order."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of formatted text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """The measured result of a claim."""

    tables: tuple[Table, ...] = ()
    verdicts: tuple[str, ...] = ()
    """Sentences computed from the numbers: where the paper's statement holds and where it does not."""
    gaps: tuple[str, ...] = ()
    """Sentences about large differences from the paper's numbers, each with facts that may explain it."""
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The unrounded numbers as plain data for JSON."""


def no_figures(outcomes: Outcomes) -> "dict[str, Figure]":
    """Return no figures."""
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the paper, with the functions that measure and draw it from outcomes."""

    name: str
    title: str
    paper: str
    """The place in the paper, such as "Table 3"."""
    statement: str
    """The paper's statement in our own words."""
    sets: tuple[str, ...]
    """Names of the datasets that the claim is about; at least one must be available. Empty if it needs no data."""
    measure: Callable[[Outcomes], Finding]
    draw: "Callable[[Outcomes], dict[str, Figure]]" = no_figures
    """Returns figures by file name without suffix."""
    first_seed: bool = False
    """Whether the figures, and the numbers measured on their images, use the first seed only."""

    def select(self, outcomes: Outcomes) -> Outcomes:
        """Return the outcomes of the datasets that this claim is about."""
        return {name: outcome for name, outcome in outcomes.items() if name in self.sets}


def mean_and_spread(values: list[float]) -> tuple[float, float | None]:
    """Return the mean over seeds and the unbiased standard deviation, which is None for a single seed."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def spread_text(values: list[float], digits: int = 3) -> str:
    """Return mean and standard deviation as text, or only the number for a single seed.

    Example:
        >>> from pcacam_jax.reproduce.claim import spread_text
        >>> spread_text([0.2, 0.4]), spread_text([0.5], digits=2)
        ('0.300 ± 0.141', '0.50')
    """
    mean, spread = mean_and_spread(values)
    return f"{mean:.{digits}f}" if spread is None else f"{mean:.{digits}f} ± {spread:.{digits}f}"

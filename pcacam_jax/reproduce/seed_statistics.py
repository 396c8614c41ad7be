"""What the maps of several seeds say, picked out of an outcome's statements and put into words."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pcacam_jax.core.text import number, percent
from pcacam_jax.reproduce.claim import mean_and_spread, spread_text
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import CLASSIFIERS

SVMS = tuple(name for name in CLASSIFIERS if name != "cnn")
OFTEN = 0.5
"""The paper's "similar" is said to hold where maps are alike on this share of the images or more ..."""
ABOVE_CHANCE = 0.2
"""... and their mean correlation lies above that with another image's map by this much or more."""


class Likeness(NamedTuple):
    """How alike two kinds of maps are, means over seeds; None where no seed has the number."""

    alike: float | None
    """Share of images on which the two correlate by 0.8 or more."""
    correlation: float | None
    chance: float | None
    """The correlation with the map of another image."""

    @property
    def holds(self) -> bool:
        """Whether the maps are similar: often enough alike, and clearly more than by chance."""
        if self.alike is None or self.correlation is None or self.chance is None:
            return False
        return self.alike >= OFTEN and self.correlation - self.chance >= ABOVE_CHANCE

    def words(self) -> str:
        """Return the numbers that :attr:`holds` looks at."""
        return (
            f"alike on {share_of(self.alike)}, correlation {number(self.correlation)}, by chance {number(self.chance)}"
        )


def over_seeds(outcome: Outcome, pick: Callable[[dict[str, Any]], float | None]) -> list[float]:
    """Return a number of every seed's statements, without those that are undefined."""
    return [value for own in outcome.statements() if (value := pick(own)) is not None]


def mean(values: list[float]) -> float | None:
    """Return the mean, None of nothing."""
    return mean_and_spread(values)[0] if values else None


def text(values: list[float]) -> str:
    """Return "0.81 ± 0.02", or a dash where no seed has the number."""
    return spread_text(values, 2) if values else "-"


def mean_percent(values: list[float]) -> str:
    """Return "81 %", the mean over seeds, or a dash."""
    return percent(mean(values)) if values else "-"


def share_of(share: float | None) -> str:
    """Return "81 % of the images"."""
    return f"{percent(share)} of the images"


def with_cnn(outcome: Outcome, svm: str, key: str, measure: str = "mean") -> list[float]:
    """Return how an SVM's maps compare with the conventional ones; ``key``: correlation, chance."""
    return over_seeds(outcome, lambda own: own["classifiers"][svm]["cnn"][key][measure])


def of_component(outcome: Outcome, svm: str, r: int, key: str) -> list[float]:
    """Return a number about component ``r`` (from 0) in an SVM's decisions: share, dominates, weight."""
    return over_seeds(outcome, lambda own: own["classifiers"][svm]["components"][r][key])


def side_read(outcome: Outcome, svm: str, r: int, key: str = "read", measure: str = "mean") -> list[float]:
    """Return how an SVM's maps compare with the side of component ``r`` that it reads; ``key``: read, chance."""
    return over_seeds(outcome, lambda own: own["classifiers"][svm]["components"][r][key][measure])


def likeness_to_cnn(outcome: Outcome, svm: str) -> Likeness:
    """Return how alike an SVM's maps are to the conventional ones."""
    keys = (("correlation", "alike"), ("correlation", "mean"), ("chance", "mean"))
    return Likeness(*(mean(with_cnn(outcome, svm, *pair)) for pair in keys))


def likeness_to_side(outcome: Outcome, svm: str, r: int) -> Likeness:
    """Return how alike an SVM's maps are to the side of component ``r`` that it reads."""
    keys = (("read", "alike"), ("read", "mean"), ("chance", "mean"))
    return Likeness(*(mean(side_read(outcome, svm, r, *pair)) for pair in keys))


def depth(outcome: Outcome) -> int:
    """Return D, the number of components."""
    return len(outcome.statements()[0]["components"])


def cells(outcome: Outcome) -> str:
    """Return the size of a map in words."""
    height, width = outcome.statements()[0]["map_shape"]
    return f"{height} x {width}"


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Pearson's correlation of two maps, None where one is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])

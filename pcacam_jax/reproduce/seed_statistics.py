"""Statistics of the maps over seeds, read from the statements of an outcome, and their text."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pcacam_jax.core.text import number, percent
from pcacam_jax.reports.class_table import CLASSIFIERS
from pcacam_jax.reproduce.claim import mean_and_spread, spread_text
from pcacam_jax.reproduce.outcome import Outcome

SVMS = tuple(name for name in CLASSIFIERS if name != "cnn")
OFTEN = 0.5
"""The paper's "similar" is taken to hold if maps are alike on at least this share of the images ..."""
ABOVE_CHANCE = 0.2
"""... and their mean correlation exceeds the correlation with another image's map by at least this much."""


class Likeness(NamedTuple):
    """How alike two kinds of maps are, as means over seeds; None if no seed has the number."""

    alike: float | None
    """Share of images on which the two maps correlate by 0.8 or more."""
    correlation: float | None
    chance: float | None
    """The correlation with the map of another image."""

    @property
    def holds(self) -> bool:
        """Whether the maps are similar: alike on enough images, and clearly more than by chance."""
        if self.alike is None or self.correlation is None or self.chance is None:
            return False
        return self.alike >= OFTEN and self.correlation - self.chance >= ABOVE_CHANCE

    def describe(self) -> str:
        """Return the numbers that :attr:`holds` compares, as text."""
        return (
            f"alike on {image_share(self.alike)}, correlation {number(self.correlation)}, "
            f"by chance {number(self.chance)}"
        )


def over_seeds(outcome: Outcome, pick: Callable[[dict[str, Any]], float | None]) -> list[float]:
    """Return the number that ``pick`` reads from the statements of each seed, without undefined ones."""
    return [value for statements in outcome.statements() if (value := pick(statements)) is not None]


def mean(values: list[float]) -> float | None:
    """Return the mean, or None for no values."""
    return mean_and_spread(values)[0] if values else None


def text(values: list[float]) -> str:
    """Return mean and standard deviation such as "0.81 ± 0.02", or a dash for no values."""
    return spread_text(values, 2) if values else "-"


def mean_percent(values: list[float]) -> str:
    """Return the mean as a percentage such as "81 %", or a dash for no values."""
    return percent(mean(values)) if values else "-"


def image_share(share: float | None) -> str:
    """Return a share of the images such as "81 % of the images"."""
    return f"{percent(share)} of the images"


def cnn_comparison(outcome: Outcome, svm: str, key: str, measure: str = "mean") -> list[float]:
    """Return for each seed how an SVM's maps compare with the CNN's Grad-CAM; ``key``: "correlation" or "chance"."""
    return over_seeds(outcome, lambda statements: statements["classifiers"][svm]["cnn"][key][measure])


def component_statistic(outcome: Outcome, svm: str, r: int, key: str) -> list[float]:
    """Return for each seed a number about component ``r`` (from 0) in an SVM's decisions, such as "share"."""
    return over_seeds(outcome, lambda statements: statements["classifiers"][svm]["components"][r][key])


def side_comparison(outcome: Outcome, svm: str, r: int, key: str = "read", measure: str = "mean") -> list[float]:
    """Return for each seed how an SVM's maps compare with one side of component ``r``; ``key``: "read" or "chance".

    The side is the one that enters the SVM's map: L_r+ if the weight ds/dv_r is positive, else L_r-.
    """
    return over_seeds(outcome, lambda statements: statements["classifiers"][svm]["components"][r][key][measure])


def likeness_to_cnn(outcome: Outcome, svm: str) -> Likeness:
    """Return how alike an SVM's maps and the CNN's Grad-CAM are."""
    keys = (("correlation", "alike"), ("correlation", "mean"), ("chance", "mean"))
    return Likeness(*(mean(cnn_comparison(outcome, svm, *pair)) for pair in keys))


def likeness_to_side(outcome: Outcome, svm: str, r: int) -> Likeness:
    """Return how alike an SVM's maps and the side of component ``r`` that enters them are."""
    keys = (("read", "alike"), ("read", "mean"), ("chance", "mean"))
    return Likeness(*(mean(side_comparison(outcome, svm, r, *pair)) for pair in keys))


def component_count(outcome: Outcome) -> int:
    """Return D, the number of components."""
    return len(outcome.statements()[0]["components"])


def map_size(outcome: Outcome) -> str:
    """Return height and width of a map such as "3 x 3"."""
    height, width = outcome.statements()[0]["map_shape"]
    return f"{height} x {width}"


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Pearson's correlation of two maps, or None if one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])

"""What the maps of several seeds say, picked out of an outcome's statements and put into words."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pcacam_jax.reproduce.claim import mean_and_spread, spread_text
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import CLASSIFIERS

SVMS = tuple(name for name in CLASSIFIERS if name != "cnn")


def over_seeds(outcome: Outcome, pick: Callable[[dict[str, Any]], float | None]) -> list[float]:
    """Return a number of every seed's statements, without those that are undefined."""
    return [value for own in outcome.statements() if (value := pick(own)) is not None]


def mean(values: list[float]) -> float | None:
    """Return the mean, None of nothing."""
    return mean_and_spread(values)[0] if values else None


def text(values: list[float]) -> str:
    """Return "0.81 ± 0.02", or a dash where no seed has the number."""
    return spread_text(values, 2) if values else "-"


def percent(values: list[float]) -> str:
    """Return "81 %", the mean over seeds, or a dash."""
    return f"{100 * mean_and_spread(values)[0]:.0f} %" if values else "-"


def with_cnn(outcome: Outcome, svm: str, key: str, measure: str = "mean") -> list[float]:
    """Return how an SVM's maps compare with the conventional ones; ``key``: correlation, chance."""
    return over_seeds(outcome, lambda own: own["classifiers"][svm]["cnn"][key][measure])


def of_component(outcome: Outcome, svm: str, r: int, key: str) -> list[float]:
    """Return a number about component ``r`` (from 0) in an SVM's decisions: share, dominates, weight."""
    return over_seeds(outcome, lambda own: own["classifiers"][svm]["components"][r][key])


def side_read(outcome: Outcome, svm: str, r: int, key: str = "read", measure: str = "mean") -> list[float]:
    """Return how an SVM's maps compare with the side of component ``r`` that it reads; ``key``: read, chance."""
    return over_seeds(outcome, lambda own: own["classifiers"][svm]["components"][r][key][measure])


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

"""Probe points of a fitted estimator: examples that it was fitted on, and points drawn from its fitted statistics."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pcacam_jax.scikit.registry import as_dense
from pcacam_jax.scikit.steps import Estimator, steps_of

COUNT = 256
"""The number of probe points; a constant, so that functions of them are compiled once for each stage structure."""

KEPT = ("support_vectors_", "X_fit_", "X_train_", "_fit_X")
"""Attributes that hold examples of the training data."""

ERRORS = (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError)
"""Errors of a scikit-learn method that an estimator lacks, or has only for other options or for named columns."""


def probe_points(estimator: Estimator, size: int) -> np.ndarray:
    """Return points like those on which an estimator is used, ``(COUNT, size)`` in float64.

    They are examples that a step of the estimator stores, such as support vectors, points between two of them, and
    normally distributed points with the means and variances that a step stores. Points of a later step are mapped
    back by the ``inverse_transform`` of the earlier steps. If there are none, the points are standard normal.
    """
    random, steps = np.random.default_rng(0), steps_of(estimator)
    groups = [points for n in range(len(steps)) for points in _points_of_step(steps[: n + 1], random)]
    groups = [points for points in groups if points.shape[1:] == (size,) and np.isfinite(points).all()]
    if not groups:
        return random.normal(size=(COUNT, size))
    share = -(-COUNT // len(groups))
    return np.concatenate([_sample(points, share, random) for points in groups])[:COUNT]


def _sample(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Return ``count`` rows, with repetitions only if there are fewer."""
    return points[np.resize(random.permutation(len(points)), count)]


def _points_of_step(steps: list[Estimator], random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield points for the last of ``steps`` at the input of the first one."""
    *before, last = steps
    for name in KEPT:
        kept: Any = getattr(last, name, np.empty(0))
        if np.ndim(kept) == 2 and kept.shape[0]:
            yield from _mapped_back(before, lambda kept=kept: _with_points_between(kept, random))
    yield from _mapped_back(before, lambda: last.inverse_transform(_drawn_components(last, random)))


def _with_points_between(kept: Any, random: np.random.Generator) -> np.ndarray:
    """Return a sample of the stored examples, and as many points on lines between two of them."""
    rows = random.permutation(kept.shape[0])[: COUNT // 2]
    examples = as_dense(kept[rows])
    places = random.uniform(size=(len(rows), 1))
    return np.concatenate([examples, examples + places * (random.permutation(examples) - examples)])


def _mapped_back(before: list[Estimator], points: Callable[[], Any]) -> Iterator[np.ndarray]:
    """Yield the points at the input of the first step, unless a step has no inverse."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            values = as_dense(points())
            for step in reversed(before):
                values = as_dense(step.inverse_transform(values))
    except ERRORS:
        return
    yield values


def _drawn_components(transformer: Estimator, random: np.random.Generator) -> np.ndarray:
    """Return normally distributed points in the output space of a transformer, with the variances that it stores."""
    size = len(transformer.get_feature_names_out())
    whitens = getattr(transformer, "whiten", False)
    variances = np.ones(size) if whitens else getattr(transformer, "explained_variance_", np.ones(size))
    return random.normal(size=(COUNT, size)) * np.sqrt(variances)

"""Comparison of converted stages with their estimators, which compute in float64.

A stage in float32 loses digits where large terms cancel, such as the terms of an SVC with a large C, components of tiny
variance, or features with a large mean and a small scale. Each kernel value has its own rounding error, so an exact sum
would not help. The difference is reported instead, with the advice to compute in float64.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from sklearn.svm import SVC, NuSVC

from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.agreement import METHODS, pair_values
from pcacam_jax.scikit.probes import ERRORS, probe_points
from pcacam_jax.scikit.registry import as_dense, as_dtype, build
from pcacam_jax.scikit.steps import Estimator, last_step, steps_of
from pcacam_jax.stages.one_vs_one import signed_sums

LIMIT_OF_CLASSES = 1e-5
"""An error is reported only if it is larger, even if predicted classes differ; below it they differ at ties only."""

QUANTILE = 0.98
"""The share of the probe points whose errors count; near a tie of votes an error may be as large as a vote."""

NEGLIGIBLE = 1e-12
"""Values that are smaller than this, relative to the largest one, are rounding errors of the estimator itself."""

BLOCK = 16
"""The number of probe points that are computed at once, a divisor of their number."""

X64 = 'jax.config.update("jax_enable_x64", True)'


def x64_is_enabled() -> bool:
    """Return whether JAX computes in float64 where it is asked to."""
    return jax.dtypes.canonicalize_dtype(float) == np.float64


class PrecisionWarning(UserWarning):
    """A stage computes in a dtype in which its values differ from those of its estimator."""


class Probes(NamedTuple):
    """The same N points for an estimator and for its stage."""

    exact: np.ndarray
    """``(N, d)`` in float64."""
    rounded: np.ndarray
    """``(N, d)`` in the dtype of the stage."""


class Comparison(NamedTuple):
    """The result of :func:`compare`."""

    values: Probes
    """The values of the estimator and of its stage."""
    error: float
    """The largest error of a value: the 98 % quantile over the points, relative to the value's root mean square."""
    worst: int
    """The index of this value."""
    wrong_classes: int
    """The number of points at which the stage predicts another class than the estimator."""

    def message(self, name: str, entries: Sequence[str], advice: str) -> str | None:
        """Return what to tell the user, or None if the differences are negligible.

        Args:
            name: the name of the stage.
            entries: the names of its values; without them their numbers are used.
            advice: what to do, a clause.
        """
        # The limit of check_outputs, 3.5e-4 in float32.
        limit = float(jnp.finfo(self.values.rounded.dtype).eps) ** 0.5
        if self.error <= (LIMIT_OF_CLASSES if self.wrong_classes else limit):
            return None
        count, size = self.values.exact.shape
        entry = entries[self.worst] if len(entries) == size else f"value {self.worst}"
        classes = f", and its class at {self.wrong_classes} of {count} probe points" if self.wrong_classes else ""
        return (
            f"{name} computes in {self.values.rounded.dtype}, which has too few digits for this estimator: {entry} "
            f"differs from scikit-learn by {self.error:.1g} of its typical size{classes}; {advice}."
        )


def is_rounded(stage: Stage) -> bool:
    """Return whether a stage holds numbers, and computes with them in a dtype that is narrower than float64."""
    leaves = jax.tree.leaves(stage)
    has_numbers = bool(leaves) and not any(isinstance(leaf, Tracer) for leaf in leaves)
    return has_numbers and jnp.finfo(leaves[0].dtype).bits < 64


def probes_of(estimator: Estimator, stage: Stage, others: Probes | None = None) -> Probes:
    """Return points of :func:`probe_points`, half of them replaced by ``others`` if there are any."""
    points, dtype = probe_points(estimator, stage.in_shape[0]), jax.tree.leaves(stage)[0].dtype
    if others is None or others.exact.shape[1] != points.shape[1]:
        return Probes(points, np.asarray(points, dtype))
    exact = np.concatenate([points[::2], others.exact[::2]])
    return Probes(exact, np.concatenate([np.asarray(points[::2], dtype), others.rounded[::2]]))


def compare(estimator: Estimator, stage: Stage, output: str, probes: Probes) -> Comparison | None:
    """Compare a stage, and its ``predict`` if it has one, with an estimator.

    The result is None if no method of scikit-learn gives the values.
    """
    if output in ("proba", "log_proba") and isinstance(last_step(estimator), SVC | NuSVC):
        # Its predict_proba is no exact reference, but the decision values that the probabilities are computed from.
        dtype = probes.rounded.dtype
        stage, output = as_dtype("pairs", build(estimator, "pairs"), dtype), "pairs"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        rounded, predicted = _run(stage, probes.rounded)
        try:
            expected = _reference(estimator, output, probes.exact)
            wrong = 0 if predicted is None else _wrong_classes(estimator, predicted, probes.exact)
        except ERRORS:
            return None
        values = np.asarray(rounded, np.float64)
        if values.shape[1] == 2 and expected.shape[1] == 1:
            expected = np.hstack([-expected, expected])
        if values.shape != expected.shape or not values.size:
            return None
        errors = _column_errors(np.exp(values) if output == "log_proba" else values, expected)
    return Comparison(Probes(expected, rounded), float(errors.max(initial=0)), int(errors.argmax()), wrong)


def _run(stage: Any, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the values and predicted classes of a stage at all points, in small batches to bound memory."""
    blocks = [_run_block(stage, points[start : start + BLOCK]) for start in range(0, len(points), BLOCK)]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)


@jax.jit
def _run_block(stage: Any, points: jax.Array) -> tuple[jax.Array, jax.Array | None]:
    predict = getattr(stage, "predict", lambda row: None)
    return jax.vmap(lambda row: (stage(row), predict(row)))(points)


def _reference(estimator: Estimator, output: str, points: np.ndarray) -> np.ndarray:
    if output not in ("pairs", "margin"):
        method = getattr(estimator, METHODS["proba" if output == "log_proba" else output])
        return as_dense(method(points)).reshape(len(points), -1)
    *before, svc = steps_of(estimator)
    for step in before:
        points = as_dense(step.transform(points))
    pairs = pair_values(svc, points)
    return pairs if output == "pairs" else np.array([signed_sums(row, len(svc.classes_)) for row in pairs])


def _wrong_classes(estimator: Estimator, predicted: np.ndarray, points: np.ndarray) -> int:
    return int((last_step(estimator).classes_[predicted] != estimator.predict(points)).sum())


def _column_errors(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the error of each column relative to its root mean square; 0 where the estimator has no finite value."""
    defined = np.isfinite(expected)
    differences = np.where(defined, np.nan_to_num(np.abs(values - expected), nan=np.inf), 0)
    errors = np.quantile(differences, QUANTILE, axis=0, method="nearest")
    sizes = np.sqrt(np.mean(np.square(np.where(defined, expected, 0)), axis=0))
    return np.where(sizes > NEGLIGIBLE * sizes.max(initial=0), errors / sizes, 0)

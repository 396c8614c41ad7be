"""Errors of converted estimators: values against scikit-learn, closed forms against autodiff and differences."""

import copy
import functools
import itertools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax import Stage, jacobian

METHODS = {
    "decision": "decision_function",
    "log_proba": "predict_log_proba",
    "proba": "predict_proba",
    "transform": "transform",
    "predict": "predict",
}
"""The scikit-learn method that each output equals."""

REFERENCES: dict[tuple[str, str], Callable[[Any, np.ndarray], np.ndarray]] = {}
"""(class name, output) -> function that computes the reference values, where scikit-learn has no method for them."""


class Errors(NamedTuple):
    """The largest errors over the points of one fit."""

    values: float
    """max |stage(x) - scikit-learn's value|."""
    reverse: float
    """Relative error of the closed form against reverse mode."""
    differences: float
    """Relative error of the closed form against central differences, minus their rounding error."""
    far: float
    """max |stage(x) - scikit-learn's value| far outside the data, relative for values above 1."""


def sklearn_output(estimator: Any, output: str, x: np.ndarray) -> np.ndarray:
    """Return scikit-learn's values of an output at x, (n, out)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        last = _last(estimator)
        if (type(last).__name__, output) in REFERENCES:
            values = REFERENCES[type(last).__name__, output](last, _transformed(estimator, x))
        elif output in ("pairs", "margin"):
            values = _pairs(last, _transformed(estimator, x))
            if output == "margin":
                values = _margins(values, len(last.classes_))
        else:
            values = getattr(estimator, METHODS[output])(x)
    return _dense(values).reshape(len(x), -1)


def _last(estimator: Any) -> Any:
    steps = [step for _, step in getattr(estimator, "steps", []) if step not in (None, "passthrough")]
    return steps[-1] if steps else estimator


def _dense(values: Any) -> np.ndarray:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, np.float64)


def _pairs(svm: Any, x: np.ndarray) -> np.ndarray:
    ovo = copy.copy(svm).set_params(decision_function_shape="ovo")
    return ovo.decision_function(x).reshape(len(x), -1)


def _margins(pairs: np.ndarray, classes: int) -> np.ndarray:
    """Return class margins: a pair counts for its first class and against its second, with two classes inversely."""
    if classes == 2:
        return np.hstack([-pairs, pairs])
    margins = np.zeros((len(pairs), classes))
    for (first, second), values in zip(itertools.combinations(range(classes), 2), pairs.T, strict=True):
        margins[:, first] += values
        margins[:, second] -= values
    return margins


def _transformed(estimator: Any, x: np.ndarray) -> np.ndarray:
    """Return the input of the last step of a Pipeline."""
    return estimator[:-1].transform(x) if hasattr(estimator, "steps") and len(estimator.steps) > 1 else x


def far_from(x: np.ndarray, count: int = 4) -> np.ndarray:
    """Return points 5 to 20 standard deviations from the mean of x on every axis; of positive x they are positive."""
    random = np.random.default_rng(len(x))
    steps = random.uniform(5, 20, size=(count, x.shape[1])) * random.choice([-1, 1], size=(count, x.shape[1]))
    far = x.mean(axis=0) + steps * x.std(axis=0)
    return np.abs(far) if (x > 0).all() else far


def gap(actual: np.ndarray, expected: np.ndarray, output: str, *, relative: bool = False) -> float:
    """Return max |actual - expected|, with ``relative`` divided by an example's largest value if that exceeds 1.

    For log_proba it does not count the rounding errors that scikit-learn makes in log(1 - p) and in logarithms of tiny
    probabilities.
    """
    if actual.shape != expected.shape:
        return float("inf")
    differences = np.abs(actual - expected)
    if output == "log_proba":
        finite = np.isfinite(expected)
        rounding = 8 * np.finfo(float).eps * np.exp(-np.maximum(np.where(finite, expected, 0), -700))
        differences = np.where(finite, np.maximum(differences - rounding, 0), 0)
        expected = np.where(finite, expected, 0)
    scale = np.maximum(1, np.abs(expected).max(axis=1, keepdims=True)) if relative else 1
    return float((differences / scale).max())


def errors(stage: Stage, estimator: Any, output: str, x: np.ndarray, *, points: int = 2) -> Errors:
    """Compare values at x and far from x, and derivatives at the first ``points`` rows of x, in float64."""
    all_points = np.concatenate([x, far_from(x)])
    values, *derivatives = map(np.asarray, _values_and_derivatives(stage, jnp.asarray(all_points), points))
    expected = sklearn_output(estimator, output, all_points)
    near = gap(values[: len(x)], expected[: len(x)], output)
    far = gap(values[len(x) :], expected[len(x) :], output, relative=True)
    reverse, differences = [], [0.0]
    for value, point, closed, autodiff, numeric in zip(values, x[:points], *derivatives, strict=False):
        reverse.append(_relative_error(closed, autodiff))
        error = np.linalg.norm(closed - numeric) - 2 * _rounding(value, point)
        differences.append(error / (np.linalg.norm(closed) or 1.0))
    # NumPy's maximum propagates NaN, Python's may drop it.
    return Errors(near, float(np.max(reverse)), float(np.max(differences)), far)


def _relative_error(value: np.ndarray, reference: np.ndarray) -> float:
    """Return ||value - reference|| / ||reference||, 0 where both are 0."""
    difference = np.linalg.norm(value - reference)
    return float(difference / (np.linalg.norm(reference) or np.finfo(float).tiny))


@functools.partial(jax.jit, static_argnums=2)
def _values_and_derivatives(stage: Stage, x: jax.Array, points: int) -> list[jax.Array]:
    """Compute everything in one compiled function; separate compilations would take most of the tests' time."""
    backends = ("closed_form", "reverse", "finite_difference")
    derivatives = [jax.vmap(lambda row, b=b: jacobian(stage, row, backend=b))(x[:points]) for b in backends]
    return [jax.vmap(stage)(x), *derivatives]


def _rounding(value: np.ndarray, x: np.ndarray) -> float:
    """Return the rounding error of central differences, whose step is ``eps^(1/3) max(1, max |x|)``."""
    eps = np.finfo(float).eps
    return eps ** (2 / 3) * float(np.linalg.norm(value)) * np.sqrt(x.size) / max(1.0, np.abs(x).max())

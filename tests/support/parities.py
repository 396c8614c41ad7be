"""How far the stage of a fitted estimator is from scikit-learn, and its closed form from autodiff and differences."""

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
"""Score spaces and the methods of scikit-learn that they equal."""

OWN: dict[tuple[str, str], Callable[[Any, np.ndarray], np.ndarray]] = {}
"""(estimator's class name, output) -> scikit-learn's values, where no method gives them."""


class Errors(NamedTuple):
    """The largest differences over the points of one fit."""

    own: float
    """max |stage(x) - scikit-learn's|."""
    reverse: float
    """Closed form against reverse mode, relative."""
    differences: float
    """Closed form against central differences, relative, beyond their rounding."""
    far: float
    """max |stage(x) - scikit-learn's| far outside the data, relative to values beyond 1."""


def own_output(estimator: Any, output: str, x: np.ndarray) -> np.ndarray:
    """Return scikit-learn's values of an output at x, (n, out)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        last = _last(estimator)
        if (type(last).__name__, output) in OWN:
            values = OWN[type(last).__name__, output](last, _before(estimator, x))
        elif output in ("pairs", "margin"):
            values = _pairs(last, _before(estimator, x))
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


def _pairs(machine: Any, x: np.ndarray) -> np.ndarray:
    of_pairs = copy.copy(machine).set_params(decision_function_shape="ovo")
    return of_pairs.decision_function(x).reshape(len(x), -1)


def _margins(pairs: np.ndarray, classes: int) -> np.ndarray:
    """Every pair speaks for its first class and against its second; the one machine of two classes for the second."""
    if classes == 2:
        return np.hstack([-pairs, pairs])
    margins = np.zeros((len(pairs), classes))
    for (first, second), values in zip(itertools.combinations(range(classes), 2), pairs.T, strict=True):
        margins[:, first] += values
        margins[:, second] -= values
    return margins


def _before(estimator: Any, x: np.ndarray) -> np.ndarray:
    return estimator[:-1].transform(x) if hasattr(estimator, "steps") and len(estimator.steps) > 1 else x


def far_from(x: np.ndarray, count: int = 4) -> np.ndarray:
    """Return points 5 to 20 deviations outside x on every axis; positive ones of positive x, for powers and roots."""
    random = np.random.default_rng(len(x))
    steps = random.uniform(5, 20, size=(count, x.shape[1])) * random.choice([-1, 1], size=(count, x.shape[1]))
    far = x.mean(axis=0) + steps * x.std(axis=0)
    return np.abs(far) if (x > 0).all() else far


def gap(found: np.ndarray, expected: np.ndarray, output: str, *, relative: bool = False) -> float:
    """Return max |found - expected|, on demand relative to an example's values where those are beyond 1.

    Of a log_proba it is beyond what scikit-learn rounds away in log(1 - p) and in the logarithms of what is nearly 0.
    """
    if found.shape != expected.shape:
        return float("inf")
    differences = np.abs(found - expected)
    if output == "log_proba":
        possible = np.isfinite(expected)
        rounding = 8 * np.finfo(float).eps * np.exp(-np.maximum(np.where(possible, expected, 0), -700))
        differences = np.where(possible, np.maximum(differences - rounding, 0), 0)
        expected = np.where(possible, expected, 0)
    scale = np.maximum(1, np.abs(expected).max(axis=1, keepdims=True)) if relative else 1
    return float((differences / scale).max())


def errors(stage: Stage, estimator: Any, output: str, x: np.ndarray, *, points: int = 2) -> Errors:
    """Compare values at all of x and far from it, and derivatives at the first ``points`` of it, in float64."""
    outside = far_from(x)
    every = np.concatenate([x, outside])
    values, *derivatives = map(np.asarray, _values_and_derivatives(stage, jnp.asarray(every), points))
    expected = own_output(estimator, output, every)
    own = gap(values[: len(x)], expected[: len(x)], output)
    far = gap(values[len(x) :], expected[len(x) :], output, relative=True)
    reverse, differences = [], [0.0]
    for value, point, closed, autodiff, numeric in zip(values, x[:points], *derivatives, strict=False):
        reverse.append(_relative_error(closed, autodiff))
        beyond = np.linalg.norm(closed - numeric) - 2 * _rounding(value, point)
        differences.append(beyond / (np.linalg.norm(closed) or 1.0))
    # NumPy's maximum, unlike Python's, is NaN where any is.
    return Errors(own, float(np.max(reverse)), float(np.max(differences)), far)


def _relative_error(value: np.ndarray, reference: np.ndarray) -> float:
    """Return ||value - reference|| / ||reference||, 0 where both are 0."""
    difference = np.linalg.norm(value - reference)
    return float(difference / (np.linalg.norm(reference) or np.finfo(float).tiny))


@functools.partial(jax.jit, static_argnums=2)
def _values_and_derivatives(stage: Stage, x: jax.Array, points: int) -> list[jax.Array]:
    """One compilation for all; compiling operation by operation takes most of the time of these tests."""
    backends = ("closed_form", "reverse", "finite_difference")
    derivatives = [jax.vmap(lambda one, b=b: jacobian(stage, one, backend=b))(x[:points]) for b in backends]
    return [jax.vmap(stage)(x), *derivatives]


def _rounding(value: np.ndarray, x: np.ndarray) -> float:
    """What rounding does to central differences: see :func:`pcacam_jax.core.numerics.difference_noise`."""
    eps = np.finfo(float).eps
    return eps ** (2 / 3) * float(np.linalg.norm(value)) * np.sqrt(x.size) / max(1.0, np.abs(x).max())

"""Comparison of a stage with the estimator that it was converted from."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.svm import SVC, NuSVC

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.registry import as_dense, check_fitted, check_output, outputs
from pcacam_jax.scikit.steps import Estimator, steps_of
from pcacam_jax.stages.svm import SVMClassifier

METHODS = {
    "decision": "decision_function",
    "log_proba": "predict_log_proba",
    "proba": "predict_proba",
    "transform": "transform",
    "predict": "predict",
}
"""The scikit-learn method that each output equals."""


def parity(estimator: Estimator, stage: Stage, examples: np.ndarray, *, output: str | None = None) -> float:
    """Return the largest difference between a stage and scikit-learn, relative to scikit-learn's largest value.

    For scikit-learn's output ``y`` of all examples the result is ``max |stage(x) - y| / max |y|``. An
    :class:`~pcacam_jax.SVMClassifier` is compared by its pair values, and its predictions must equal those of the
    estimator at every example where no pair value is close to zero.

    Args:
        estimator: a fitted estimator or pipeline.
        stage: the result of :func:`from_sklearn` or :func:`svm_classifier` for this estimator.
        examples: the points at which both are compared, ``(N, d)``.
        output: the output that ``stage`` computes; by default the estimator's first output. It is ignored for an
            :class:`~pcacam_jax.SVMClassifier`.

    Returns:
        The relative difference. It is absolute if scikit-learn's values are all zero, and infinite if the shapes or
        the predictions differ.

    Raises:
        InputError: if the estimator is not fitted, has no method for ``output``, or ``examples`` are not numbers
            ``(N, d)``.
        TypeError: if ``stage`` is not a stage.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.scikit import from_sklearn, parity
        >>> from sklearn.preprocessing import StandardScaler
        >>> x = np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 3.0]])
        >>> scaler = StandardScaler().fit(x)
        >>> parity(scaler, from_sklearn(scaler), x) < 1e-5
        True
    """
    check_fitted(estimator)
    check_output(output)
    if isinstance(stage, type) or not isinstance(stage, Stage):
        raise TypeError(f"stage must be a stage, from from_sklearn or svm_classifier; got {type(stage).__name__}.")
    examples = _checked_examples(examples, stage.in_shape[0])
    if isinstance(stage, SVMClassifier):
        *steps, svc = steps_of(estimator)
        features = functools.reduce(lambda x, step: step.transform(x), steps, examples)
        values = _map_examples(stage.pairs, examples)
        expected = pair_values(svc, features)
        predicted = svc.classes_[_map_examples(stage.predict, examples)]
        # Pair values within rounding of zero may vote for either class.
        clear = np.abs(expected).min(axis=1) > 1e-3 * np.abs(expected).max()
        if (predicted != svc.predict(features))[clear].any():
            return float("inf")
    else:
        values = _map_examples(stage, examples)
        expected = _sklearn_values(estimator, output or next(iter(outputs(estimator))), examples)
        if values.shape != expected.shape:
            return float("inf")
    return float(np.abs(values - expected).max() / (np.abs(expected).max() or 1))


def _checked_examples(examples: Any, size: int) -> np.ndarray:
    try:
        array = as_dense(examples)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"examples must be an array of numbers (N, {size}); got {type(examples).__name__}.") from error
    if array.ndim != 2 or array.shape[1] != size or not len(array):
        raise InputError(f"examples must have shape (N, {size}), one row per example; got {array.shape}.")
    return array


def _sklearn_values(estimator: Estimator, output: str, examples: np.ndarray) -> np.ndarray:
    method = getattr(estimator, METHODS.get(output, ""), None)
    if method is None:
        raise InputError(f"{type(estimator).__name__} has no method that gives {output!r}; compare another output.")
    return as_dense(method(examples)).reshape(len(examples), -1)


def _map_examples(function: Callable, examples: np.ndarray) -> np.ndarray:
    """Apply a function of one example to all, in small batches: many support vectors would not fit into memory."""
    return np.asarray(jax.jit(lambda x: jax.lax.map(function, x, batch_size=16))(jnp.asarray(examples)))


def pair_values(svc: Estimator, examples: np.ndarray) -> np.ndarray:
    """Return scikit-learn's decision value of every pair of classes.

    Args:
        svc: a fitted SVC or NuSVC with any ``decision_function_shape``. It is not changed.
        examples: the points, ``(N, d)``.

    Returns:
        ``(N, C (C - 1) / 2)`` values, positive for class i of the pair i < j. For two classes it is one value per
        example, positive for ``classes_[1]``.

    Raises:
        InputError: if ``svc`` is not a fitted SVC or NuSVC, or ``examples`` are not numbers ``(N, d)``.
    """
    check_fitted(svc)
    if not isinstance(svc, SVC | NuSVC):
        raise InputError(f"the decision values of pairs need an SVC or NuSVC; got {type(svc).__name__}.")
    examples = _checked_examples(examples, svc.support_vectors_.shape[1])
    ovo = copy.copy(svc).set_params(decision_function_shape="ovo")
    return ovo.decision_function(examples).reshape(len(examples), -1)

"""How closely a stage follows the estimator it was made from."""

import copy
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.conversion import outputs_of
from pcacam_jax.scikit.registry import Estimator, as_dense, steps_of
from pcacam_jax.stages.svm import SVMClassifier

METHODS = {
    "decision": "decision_function",
    "log_proba": "predict_log_proba",
    "proba": "predict_proba",
    "transform": "transform",
    "predict": "predict",
}
"""Score spaces and the methods of scikit-learn that they equal."""


def parity(estimator: Estimator, stage: Stage, examples: np.ndarray, *, output: str | None = None) -> float:
    """Return max |stage(x) - scikit-learn's own output| / max |output| over ``examples`` (N, d).

    Args:
        estimator: fitted.
        stage: what ``from_sklearn`` or ``svm_classifier`` made of it. An :class:`SVMClassifier` is compared through its
            pair values, and a prediction that differs where they decide counts as infinite.
        examples: what to compare at. Where scikit-learn's output is 0 for all of them, the difference is not divided.
        output: the output that any other stage was made for; by default the estimator's first.

    Raises:
        InputError: the estimator has no method that gives this output.
    """
    if isinstance(stage, SVMClassifier):
        *steps, svc = steps_of(estimator)
        read = functools.reduce(lambda x, step: step.transform(x), steps, examples)
        own = _mapped(stage.pairs, examples)
        expected = pair_values(svc, read)
        predicted = svc.classes_[_mapped(stage.predict, examples)]
        decided = np.abs(expected).min(axis=1) > 1e-3 * np.abs(expected).max()
        if (predicted != svc.predict(read))[decided].any():
            return float("inf")
    else:
        own = _mapped(stage, examples)
        expected = _own_values(estimator, output or outputs_of(estimator)[0], examples)
        if own.shape != expected.shape:
            return float("inf")
    return float(np.abs(own - expected).max() / (np.abs(expected).max() or 1))


def _own_values(estimator: Estimator, output: str, examples: np.ndarray) -> np.ndarray:
    method = getattr(estimator, METHODS.get(output, ""), None)
    if method is None:
        raise InputError(f"{type(estimator).__name__} has no method that gives {output!r}; compare another output.")
    return as_dense(method(examples)).reshape(len(examples), -1)


def _mapped(function: Callable, examples: np.ndarray) -> np.ndarray:
    """Apply a function of one example to all, a few at a time, so that many support vectors fit into memory."""
    return np.asarray(jax.jit(lambda x: jax.lax.map(function, x, batch_size=16))(jnp.asarray(examples)))


def pair_values(svc: Estimator, examples: np.ndarray) -> np.ndarray:
    """The value of every machine, by scikit-learn: an "ovo" copy that shares the fitted attributes."""
    of_pairs = copy.copy(svc).set_params(decision_function_shape="ovo")
    return of_pairs.decision_function(examples).reshape(len(examples), -1)

"""How closely a stage follows the estimator it was made from."""

import copy
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.scikit.frozen import all_steps
from pcacam_jax.scikit.registry import Estimator
from pcacam_jax.stages.svm import SVMClassifier
from pcacam_jax.types import Stage


def parity(estimator: Estimator, stage: Stage, examples: np.ndarray) -> float:
    """Return max |stage(x) - scikit-learn's own output| / max |output| over ``examples`` (N, d).

    Compares with ``transform`` where there is one; an :class:`SVMClassifier` through its pair values, and a
    prediction that differs anywhere counts as infinite.
    """
    if isinstance(stage, SVMClassifier):
        *steps, svc = all_steps(estimator)
        read = functools.reduce(lambda x, step: step.transform(x), steps, examples)
        own = _mapped(stage.pairs, examples)
        expected = pair_values(svc, read)
        predicted = svc.classes_[_mapped(stage.predict, examples)]
        decided = np.abs(expected).min(axis=1) > 1e-3 * np.abs(expected).max()
        if (predicted != svc.predict(read))[decided].any():
            return float("inf")
    else:
        own = _mapped(stage, examples)
        expected = estimator.transform(examples)
    return float(np.abs(own - expected).max() / np.abs(expected).max())


def _mapped(function: Callable, examples: np.ndarray) -> np.ndarray:
    """Apply a function of one example to all, a few at a time, so that many support vectors fit into memory."""
    return np.asarray(jax.jit(lambda x: jax.lax.map(function, x, batch_size=16))(jnp.asarray(examples)))


def pair_values(svc: Estimator, examples: np.ndarray) -> np.ndarray:
    """The value of every machine, by scikit-learn: an "ovo" copy that shares the fitted attributes."""
    of_pairs = copy.copy(svc).set_params(decision_function_shape="ovo")
    return of_pairs.decision_function(examples).reshape(len(examples), -1)

"""Fitted estimators and pipelines become stages, from their public fitted attributes."""

from typing import Any

import jax
import jax.numpy as jnp

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.probability import check_probabilities
from pcacam_jax.scikit.registry import Estimator, as_dtype, build, outputs


def from_sklearn(estimator: Estimator, *, output: str | None = None, dtype: Any = None) -> Stage:
    """Return the stage of a fitted estimator or pipeline: stage(x): (d,) -> (out,) for one example.

    Args:
        estimator: any estimator of the README's table, fitted.
        output: what the stage equals, one of :func:`outputs_of`; the first of them by default. ``"decision"`` is the
            estimator's own ``decision_function`` (one value with two classes, positive for the second), ``"pairs"`` a
            value per pair of classes, with two classes positive for the second as the decision, with more positive
            for i of i < j, ``"margin"`` signed sums of pairs, one smooth value a class, ``"log_proba"``, ``"proba"``
            and ``"transform"`` the methods of those names, and ``"predict"`` a regressor's values. The probabilities
            of ``SVC(probability=True)`` with two classes are Platt's sigmoid itself, up to 0.005 from
            ``predict_proba``, which libsvm couples and stops early.
        dtype: floating dtype of the parameters; by default the widest that JAX is set to.

    Raises:
        InputError: not fitted, not supported, an output that the estimator does not have, numbers that are not
            finite or too large for the dtype, or a dtype that is not floating.
    """
    dtype = _floating(dtype)
    check_probabilities(estimator, output)
    return as_dtype(f"the fitted numbers of {type(estimator).__name__}", build(estimator, output), dtype)


def _floating(dtype: Any) -> Any:
    if dtype is None:
        return jax.dtypes.canonicalize_dtype(float)
    try:
        floating = jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
    except (TypeError, ValueError):
        floating = False
    if not floating:
        raise InputError(f"dtype must be floating, such as float32; got {dtype!r}.")
    return dtype


def outputs_of(estimator: Estimator) -> tuple[str, ...]:
    """Return the names of a fitted estimator's outputs, the default first.

    Raises:
        InputError: not fitted, or not supported.
    """
    return tuple(outputs(estimator))

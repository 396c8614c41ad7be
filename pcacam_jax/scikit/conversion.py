"""Conversion of fitted estimators and pipelines to stages, from their public fitted attributes."""

from typing import Any

import jax
import jax.numpy as jnp

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.probability import check_probabilities
from pcacam_jax.scikit.registry import Estimator, as_dtype, build, outputs


def from_sklearn(estimator: Estimator, *, output: str | None = None, dtype: Any = None) -> Stage:
    """Convert a fitted estimator or pipeline to a stage, which computes one of its outputs for one example.

    Args:
        estimator: a fitted estimator of a supported class. The page "Supported estimators" of the documentation lists
            these classes with formulas, outputs and limits.
        output: the output to compute, one of :func:`outputs_of`; by default the first of them.

            - ``"decision"``: ``decision_function``; with two classes one value, positive for ``classes_[1]``.
            - ``"pairs"``: one value per pair of classes, positive for class i of the pair i < j; with two classes one
              value, positive for ``classes_[1]`` like the decision.
            - ``"margin"``: one value per class, the sum of the values of the pairs that contain the class, each with
              the sign that favours it. It is smooth, unlike votes.
            - ``"log_proba"`` and ``"proba"``: ``predict_log_proba`` and ``predict_proba``.
            - ``"transform"``: ``transform``.
            - ``"predict"``: ``predict`` of a regressor.

            The probabilities of ``SVC(probability=True)`` with two classes are Platt's sigmoid. ``predict_proba``
            differs from it by up to 0.005, since libsvm post-processes the sigmoid with an iteration that stops early.
        dtype: the floating dtype of the parameters; by default the widest that JAX is set to.

    Returns:
        A stage ``(d,) -> (out,)``. Use :func:`jax.vmap` for a batch.

    Raises:
        InputError: if the estimator is not fitted, is not supported or does not have the output, if its fitted
            parameters are not finite or too large for the dtype, or if the dtype is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import from_sklearn
        >>> from sklearn.decomposition import PCA
        >>> stage = from_sklearn(PCA(1).fit([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]))
        >>> [round(float(v), 3) for v in stage(jnp.array([3.0, 1.0]))]
        [1.0]
    """
    dtype = _floating_dtype(dtype)
    check_probabilities(estimator, output)
    return as_dtype(f"the fitted parameters of {type(estimator).__name__}", build(estimator, output), dtype)


def _floating_dtype(dtype: Any) -> Any:
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
    """Return the names of the outputs that a fitted estimator has, the default first.

    The names are explained in :func:`from_sklearn`.

    Args:
        estimator: a fitted estimator or pipeline.

    Raises:
        InputError: if the estimator is not fitted or not supported.

    Example:
        >>> from pcacam_jax import outputs_of
        >>> from sklearn.linear_model import LogisticRegression
        >>> outputs_of(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
        ('decision', 'log_proba', 'proba')
    """
    return tuple(outputs(estimator))

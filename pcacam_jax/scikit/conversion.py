"""Conversion of fitted estimators and pipelines to stages, from their public fitted attributes."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import shown
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.precision import X64, PrecisionWarning, compare, is_rounded, probes_of, x64_is_enabled
from pcacam_jax.scikit.probability import check_probabilities
from pcacam_jax.scikit.registry import Estimator, as_dtype, build, check_output, out_size, outputs, readable


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

    Warns:
        PrecisionWarning: the stage computes in float32, and at examples that the estimator stores, or at points drawn
            from its fitted statistics, its values differ from scikit-learn's by more than 0.035 % of
            their size, or 0.001 % where a predicted class differs.

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
    stage = converted(estimator, output, dtype)
    warn_of_rounding(estimator, stage, output or outputs_of(estimator)[0])
    return stage


def converted(estimator: Estimator, output: str | None = None, dtype: Any = None) -> Stage:
    """Return the stage of :func:`from_sklearn`, which is not compared with the estimator."""
    dtype = _floating_dtype(dtype)
    check_output(output)
    check_probabilities(estimator, output)
    stage = as_dtype(f"the fitted parameters of {type(estimator).__name__}", build(estimator, output), dtype)
    with readable(estimator):
        out_size(stage)
    return stage


def warn_of_rounding(estimator: Estimator, stage: Stage, output: str) -> None:
    """Warn the caller of the calling function if the digits of the stage's dtype do not suffice for its values."""
    if not is_rounded(stage) or (result := compare(estimator, stage, output, probes_of(estimator, stage))) is None:
        return
    advice = 'convert it with dtype="float64"' if x64_is_enabled() else f"call {X64} before the conversion"
    name = f"the stage of {type(estimator).__name__}"
    if message := result.message(name, (), advice):
        warnings.warn(message, PrecisionWarning, stacklevel=3)


def _floating_dtype(dtype: Any) -> Any:
    if dtype is None:
        return jax.dtypes.canonicalize_dtype(float)
    try:
        floating = isinstance(dtype, str | type | np.dtype) and jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
    except (TypeError, ValueError):
        floating = False
    if not floating:
        raise InputError(f"dtype must be floating, such as float32; got {shown(dtype)}.")
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

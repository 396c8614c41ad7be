"""Stages that answer as the estimator does: class scores together with its own prediction."""

from typing import Any

import jax
from sklearn.base import is_classifier

from pcacam_jax.scikit.convert import from_sklearn, outputs_of
from pcacam_jax.scikit.registry import Estimator, steps_of
from pcacam_jax.scikit.svm import svm_classifier
from pcacam_jax.stages.classifier import Classifier
from pcacam_jax.stages.svm import SVMClassifier
from pcacam_jax.types import Stage

CLASS_SCORES = ("decision", "log_proba", "proba")
"""Score spaces with a score a class. An SVC predicts by votes in all of them."""


def scores_from_sklearn(
    estimator: Estimator, *, output: str | None = None, dtype: Any = None
) -> Classifier | SVMClassifier | Stage:
    """Return class scores (C,) with the class that the estimator predicts; what has no class scores gives its stage.

    Args:
        estimator: fitted, or a fitted pipeline.
        output: the score space; by default the margins of an SVC or NuSVC, and what :func:`outputs_of` names first
            for any other estimator. Two classes' decision g becomes the scores (-g, g).
        dtype: dtype of the parameters; by default the widest that JAX is set to.

    Raises:
        InputError: not fitted, not supported, or an output that the estimator does not have.
    """
    last, known = steps_of(estimator)[-1], outputs_of(estimator)
    if "margin" in known and output in (None, "margin"):
        return svm_classifier(estimator, dtype=dtype)
    output = output or known[0]
    stage = from_sklearn(estimator, output=output, dtype=dtype)
    if not is_classifier(last) or output not in CLASS_SCORES:
        return stage
    voter = svm_classifier(estimator, dtype=dtype) if "margin" in known else None
    values = jax.eval_shape(stage, jax.ShapeDtypeStruct(stage.in_shape, jax.dtypes.canonicalize_dtype(float))).shape[0]
    return Classifier(stage, "sign" if values == 1 else "argmax", voter)

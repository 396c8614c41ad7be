"""Stages that answer as the estimator does: class scores together with its own prediction."""

from typing import Any

from sklearn.base import is_classifier
from sklearn.svm import SVC, NuSVC

from pcacam_jax.checks import InputError
from pcacam_jax.scikit.convert import from_sklearn, outputs_of
from pcacam_jax.scikit.registry import Estimator, steps_of
from pcacam_jax.scikit.svm import svm_classifier
from pcacam_jax.stages.classifier import Classifier
from pcacam_jax.stages.svm import SVMClassifier
from pcacam_jax.types import Stage

CLASS_SCORES = ("decision", "log_proba", "proba")
"""Score spaces with a score a class, whose largest is the predicted class; of two classes' decision, the sign."""


def scores_from_sklearn(
    estimator: Estimator, *, output: str | None = None, dtype: Any = None
) -> Classifier | SVMClassifier | Stage:
    """Return class scores (C,) with the class that the estimator predicts; what is no classifier gives its stage.

    Args:
        estimator: fitted, or a fitted pipeline.
        output: the score space. An SVC or NuSVC has its margins; another classifier ``"decision"``, where it has no
            decision function ``"log_proba"``; any other estimator its default.
        dtype: dtype of the parameters; by default the widest that JAX is set to.

    Raises:
        InputError: not fitted, not supported, or an output that the estimator does not have.
    """
    last = steps_of(estimator)[-1]
    if isinstance(last, SVC | NuSVC):
        if output not in (None, "margin"):
            raise InputError(
                f"the class scores of {type(last).__name__} are its margins, output 'margin'; got {output!r}, "
                f"which from_sklearn makes a stage of."
            )
        return svm_classifier(estimator, dtype=dtype)
    output = output or outputs_of(estimator)[0]
    stage = from_sklearn(estimator, output=output, dtype=dtype)
    if not is_classifier(last) or output not in CLASS_SCORES:
        return stage
    return Classifier(stage, "sign" if output == "decision" and len(last.classes_) == 2 else "argmax")

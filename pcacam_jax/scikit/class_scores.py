"""Stages that answer as the estimator does: class scores together with its own prediction."""

from typing import Any

from sklearn.base import is_classifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC, NuSVC

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.composition import in_a_row
from pcacam_jax.scikit.conversion import from_sklearn, outputs_of
from pcacam_jax.scikit.multiclass import rest_logarithms
from pcacam_jax.scikit.registry import Estimator, as_dtype, build, last_step, out_size, steps_of
from pcacam_jax.stages.classifier import Classifier
from pcacam_jax.stages.svm import SVMClassifier

CLASS_SCORES = ("decision", "log_proba", "proba")
"""Score spaces with a score a class. An SVC predicts by votes in all of them, others by the first that they have."""


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
    known, last = outputs_of(estimator), last_step(estimator)
    machine = isinstance(last, SVC | NuSVC)
    if output is None:
        output = "margin" if machine else known[0]
    if machine and output == "margin":
        return svm_classifier(estimator, dtype=dtype)
    stage = from_sklearn(estimator, output=output, dtype=dtype)
    if not is_classifier(last) or output not in CLASS_SCORES or (output == "decision" and _decides_by_pairs(last)):
        return stage
    return Classifier(stage, "sign" if out_size(stage) == 1 else "argmax", _voter(estimator, output, dtype))


def _voter(estimator: Estimator, output: str, dtype: Any) -> Stage | None:
    """Return what predicts as the estimator does, None where its scores ``output`` do."""
    known, last = outputs_of(estimator), last_step(estimator)
    if isinstance(last, SVC | NuSVC):
        return svm_classifier(estimator, dtype=dtype)
    decisive = next(name for name in CLASS_SCORES if name in known)
    if isinstance(last, OneVsRestClassifier) and decisive != "decision" and len(last.classes_) > 2:
        # It compares the p_c of its machines before they are divided by their sum.
        before = [build(step, "transform") for step in steps_of(estimator)[:-1]]
        logarithms = in_a_row(*before, rest_logarithms(last))
        return Classifier(as_dtype("the fitted numbers of OneVsRestClassifier", logarithms, dtype), "rounded")
    # One against the rest predicts by decisions even where its machines' probabilities are in another order.
    return None if output == decisive else scores_from_sklearn(estimator, output=decisive, dtype=dtype)


def _decides_by_pairs(classifier: Estimator) -> bool:
    """Whether the decision has a value a pair of classes rather than a value a class."""
    return getattr(classifier, "decision_function_shape", "ovr") == "ovo" and len(classifier.classes_) > 2


def svm_classifier(estimator: Estimator, *, dtype: Any = None) -> SVMClassifier:
    """Return class margins with the estimator's own prediction, from an SVC, a NuSVC or a Pipeline that ends in one.

    Raises:
        InputError: another estimator, not fitted, or not supported; or what :func:`from_sklearn` refuses.
    """
    svc = last_step(estimator)
    if not isinstance(svc, SVC | NuSVC):
        raise InputError(f"an SVM must be an SVC, a NuSVC or a Pipeline that ends in one; got {type(svc).__name__}.")
    break_ties = bool(svc.break_ties) and svc.decision_function_shape == "ovr"
    return SVMClassifier(from_sklearn(estimator, output="pairs", dtype=dtype), len(svc.classes_), break_ties)

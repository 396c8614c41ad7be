"""Class scores with the class that the estimator predicts."""

from typing import Any

from sklearn.base import is_classifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC, NuSVC

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.composition import chain_of_steps
from pcacam_jax.scikit.conversion import converted, outputs_of, warn_of_rounding
from pcacam_jax.scikit.multiclass import rest_log_probabilities
from pcacam_jax.scikit.registry import as_dtype, build, check_fitted, check_output, out_size
from pcacam_jax.scikit.steps import Estimator, last_step, steps_of
from pcacam_jax.stages.classifier import Classifier
from pcacam_jax.stages.svm import SVMClassifier

CLASS_SCORES = ("decision", "log_proba", "proba")
"""Outputs with one score per class. An SVC predicts by votes; other estimators by the first of these that they have."""


def scores_from_sklearn(
    estimator: Estimator, *, output: str | None = None, dtype: Any = None
) -> Classifier | SVMClassifier | Stage:
    """Return the class scores of a classifier, as a stage whose ``predict`` gives the estimator's predicted class.

    Args:
        estimator: a fitted estimator or pipeline.
        output: the output to compute, as in :func:`from_sklearn`; by default ``"margin"`` for an SVC or NuSVC and the
            first of :func:`outputs_of` for any other estimator. With two classes the decision ``g`` becomes the scores
            ``(-g, g)``.
        dtype: the floating dtype of the parameters; by default the widest that JAX is set to.

    Returns:
        A stage ``(d,) -> (C,)`` with a method ``predict`` that returns the index of the predicted class. If the
        estimator is not a classifier, or ``output`` is not one score per class, it is the stage of
        :func:`from_sklearn`, without ``predict``.

    Warns:
        PrecisionWarning: as :func:`from_sklearn`.

    Raises:
        InputError: if the estimator is not fitted, is not supported or does not have the output.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.scikit import scores_from_sklearn
        >>> from sklearn.svm import LinearSVC
        >>> svm = LinearSVC().fit([[-1.0], [1.0]], ["healthy", "ill"])
        >>> str(svm.classes_[scores_from_sklearn(svm).predict(jnp.array([0.5]))])
        'ill'
    """
    stage = class_scores(estimator, output, dtype)
    warn_of_rounding(estimator, stage, output or default_scores(estimator))
    return stage


def default_scores(estimator: Estimator) -> str:
    """Return the output that :func:`scores_from_sklearn` computes by default."""
    return "margin" if isinstance(last_step(estimator), SVC | NuSVC) else outputs_of(estimator)[0]


def class_scores(estimator: Estimator, output: str | None = None, dtype: Any = None) -> Any:
    """Return the stage of :func:`scores_from_sklearn`, which is not compared with the estimator."""
    check_fitted(estimator)
    check_output(output)
    last = last_step(estimator)
    output = default_scores(estimator) if output is None else output
    if isinstance(last, SVC | NuSVC) and output == "margin":
        return _svm_classifier(estimator, dtype)
    stage = converted(estimator, output, dtype)
    if not is_classifier(last) or output not in CLASS_SCORES or (output == "decision" and _decides_by_pairs(last)):
        return stage
    return Classifier(stage, "sign" if out_size(stage) == 1 else "argmax", _voter(estimator, output, dtype))


def _voter(estimator: Estimator, output: str, dtype: Any) -> Stage | None:
    """Return a stage whose ``predict`` follows the estimator, or None if the largest score of ``output`` does."""
    available, last = outputs_of(estimator), last_step(estimator)
    if isinstance(last, SVC | NuSVC):
        return _svm_classifier(estimator, dtype)
    decisive = next(name for name in CLASS_SCORES if name in available)
    if isinstance(last, OneVsRestClassifier) and decisive != "decision" and len(last.classes_) > 2:
        # It compares the p_c of the binary classifiers before they are divided by their sum.
        before = [build(step, "transform") for step in steps_of(estimator)[:-1]]
        log_probabilities = chain_of_steps(*before, rest_log_probabilities(last))
        log_probabilities = as_dtype("the fitted parameters of OneVsRestClassifier", log_probabilities, dtype)
        return Classifier(log_probabilities, "rounded")
    # OneVsRestClassifier predicts by decisions, even where the probabilities of its classifiers have another order.
    return None if output == decisive else class_scores(estimator, decisive, dtype)


def _decides_by_pairs(classifier: Estimator) -> bool:
    """Whether the decision has one value per pair of classes instead of one per class."""
    return getattr(classifier, "decision_function_shape", "ovr") == "ovo" and len(classifier.classes_) > 2


def svm_classifier(estimator: Estimator, *, dtype: Any = None) -> SVMClassifier:
    """Return the class margins of an SVM, as a stage whose ``predict`` gives the estimator's predicted class.

    The margin of class c is the sum of the decision values (Eq. 6) of all pairs that contain c, each with the sign
    that favours c. ``predict`` returns the class with the most votes of pairs, as scikit-learn does; its margin is not
    always the largest.

    Args:
        estimator: a fitted SVC or NuSVC, or a Pipeline that ends in one.
        dtype: the floating dtype of the parameters; by default the widest that JAX is set to.

    Returns:
        A stage ``(d,) -> (C,)``.

    Warns:
        PrecisionWarning: as :func:`from_sklearn`.

    Raises:
        InputError: if the estimator is not an SVC or NuSVC, or if :func:`from_sklearn` rejects it.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.scikit import svm_classifier
        >>> from sklearn.svm import SVC
        >>> svm = SVC(kernel="linear").fit([[-1.0], [1.0]], ["healthy", "ill"])
        >>> [round(float(margin), 3) for margin in svm_classifier(svm)(jnp.array([0.5]))]
        [-0.5, 0.5]
    """
    svc = last_step(estimator)
    if not isinstance(svc, SVC | NuSVC):
        raise InputError(f"an SVM must be an SVC, a NuSVC or a Pipeline that ends in one; got {type(svc).__name__}.")
    stage = _svm_classifier(estimator, dtype)
    warn_of_rounding(estimator, stage, "margin")
    return stage


def _svm_classifier(estimator: Estimator, dtype: Any) -> SVMClassifier:
    svc, pairs = last_step(estimator), converted(estimator, "pairs", dtype)
    break_ties = bool(svc.break_ties) and svc.decision_function_shape == "ovr"
    return SVMClassifier(pairs, len(svc.classes_), break_ties)

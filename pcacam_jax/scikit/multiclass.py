"""One-vs-rest and one-vs-one classifiers, which combine binary classifiers."""

import numpy as np
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.svm import SVC, NuSVC

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.reducers import affine
from pcacam_jax.scikit.registry import Entry, Outputs, build, outputs, register
from pcacam_jax.scikit.steps import Estimator, last_step
from pcacam_jax.stages import OvrDecision, Softmax, Take
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.parallel import Parallel


def _parallel(stages: list[Stage]) -> Stage:
    return stages[0] if len(stages) == 1 else Parallel(tuple(stages))


def _rest_outputs(estimator: Estimator) -> Outputs:
    if estimator.multilabel_:
        raise InputError(
            "OneVsRestClassifier was fitted on several labels per example; convert its estimators_ one by one."
        )
    binary = estimator.estimators_
    available: Outputs = {}
    if hasattr(estimator, "decision_function"):
        available["decision"] = lambda: _parallel([build(classifier, "decision") for classifier in binary])
    if hasattr(estimator, "predict_proba") and all("log_proba" in outputs(classifier) for classifier in binary):
        available["log_proba"] = lambda: _rest_probabilities(estimator, log=True)
        available["proba"] = lambda: _rest_probabilities(estimator, log=False)
    if not available:
        raise InputError(
            f"OneVsRestClassifier needs classifiers with decision_function or predict_proba; "
            f"got {type(binary[0]).__name__}, so convert its estimators_ one by one."
        )
    return available


def _rest_probabilities(estimator: Estimator, *, log: bool) -> Stage:
    """Return the probabilities p_c / sum p as softmax(log p); with two classes those of the single classifier.

    The softmax is well defined where every p_c underflows, and the quotient is not.
    """
    if len(estimator.estimators_) == 1:
        return build(estimator.estimators_[0], "log_proba" if log else "proba")
    return Chain((rest_log_probabilities(estimator), Softmax(len(estimator.estimators_), log)))


def rest_log_probabilities(estimator: Estimator) -> Parallel:
    """Return the stage of log p_c, the log-probability of every class c against the rest, (d,) -> (C,)."""
    binary = estimator.estimators_
    return Parallel(tuple(Chain((build(classifier, "log_proba"), Take((1,), 2))) for classifier in binary))


def _pair_outputs(estimator: Estimator) -> Outputs:
    binary = estimator.estimators_
    if not hasattr(binary[0], "decision_function"):
        raise InputError(
            f"OneVsOneClassifier needs classifiers with decision_function, whose sign is their vote; "
            f"got {type(binary[0]).__name__}, so convert its estimators_ one by one."
        )
    classes = len(estimator.classes_)
    # The classifier of a pair i < j is positive for j. At exactly 0 most classifiers predict i, but an SVC predicts j.
    first_at_zero = not isinstance(last_step(binary[0]), SVC | NuSVC)

    def toward_first() -> tuple[Stage, Stage]:
        return _parallel([build(classifier, "decision") for classifier in binary]), affine(-np.eye(len(binary)))

    def pairs() -> Stage:
        return toward_first()[0] if classes == 2 else Chain(toward_first())

    def decision() -> Chain:
        # With two classes OvrDecision expects a value that is positive for the second class. Here its sign is opposite,
        # so the score of the second class is the first entry.
        second = (Take((0,), 2),) if classes == 2 else ()
        return Chain((*toward_first(), OvrDecision(classes, first_at_zero), *second))

    return {"decision": decision, "pairs": pairs}


register(
    Entry(
        OneVsRestClassifier,
        "composition",
        "decisions of the binary classifiers; proba: their p_c divided by the sum over classes",
        "single-label classification only; binary classifiers that are supported and have decision_function or "
        "predict_proba; log_proba is the logarithm of predict_proba, since scikit-learn has no method for it; where "
        "all p_c round to 0, scikit-learn returns 0 for every class and the stage returns their ratios",
        _rest_outputs,
        ("decision", "log_proba", "proba"),
    )
)
register(
    Entry(
        OneVsOneClassifier,
        "composition",
        "votes + s / (3 (|s| + 1)), s_c = sum of the decisions of the pairs with class c, signed toward c",
        "binary classifiers that are supported and have decision_function; the votes are piecewise constant",
        _pair_outputs,
        ("decision", "pairs"),
    )
)

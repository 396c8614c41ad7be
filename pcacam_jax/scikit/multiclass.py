"""Classifiers made of two-class ones: one against the rest, one against one."""

import numpy as np
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.svm import SVC, NuSVC

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.reducers import affine
from pcacam_jax.scikit.registry import Entry, Estimator, Outputs, build, last_step, outputs, register
from pcacam_jax.stages import OvrDecision, Softmax, Take
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.parallel import Parallel


def _beside(stages: list[Stage]) -> Stage:
    return stages[0] if len(stages) == 1 else Parallel(tuple(stages))


def _rest_outputs(estimator: Estimator) -> Outputs:
    if estimator.multilabel_:
        raise InputError(
            "OneVsRestClassifier was fitted on several labels an example; convert its estimators_ one by one."
        )
    machines = estimator.estimators_
    known: Outputs = {}
    if hasattr(estimator, "decision_function"):
        known["decision"] = lambda: _beside([build(machine, "decision") for machine in machines])
    if hasattr(estimator, "predict_proba") and all("log_proba" in outputs(machine) for machine in machines):
        known["log_proba"] = lambda: _rest_probabilities(estimator, log=True)
        known["proba"] = lambda: _rest_probabilities(estimator, log=False)
    if not known:
        raise InputError(
            f"OneVsRestClassifier takes classifiers with decision_function or predict_proba; "
            f"got {type(machines[0]).__name__}, so convert its estimators_ one by one."
        )
    return known


def _rest_probabilities(estimator: Estimator, *, log: bool) -> Stage:
    """p_c / sum p of every class against its rest, which is softmax(log p); with two classes the machine's own.

    The sum itself is 0 where every p_c is too small for a number, which its logarithm never is.
    """
    if len(estimator.estimators_) == 1:
        return build(estimator.estimators_[0], "log_proba" if log else "proba")
    return Chain((rest_logarithms(estimator), Softmax(len(estimator.estimators_), log)))


def rest_logarithms(estimator: Estimator) -> Parallel:
    """(C,) log p_c of every class against its rest."""
    return Parallel(tuple(Chain((build(machine, "log_proba"), Take((1,), 2))) for machine in estimator.estimators_))


def _pair_outputs(estimator: Estimator) -> Outputs:
    machines = estimator.estimators_
    if not hasattr(machines[0], "decision_function"):
        raise InputError(
            f"OneVsOneClassifier takes classifiers with decision_function, whose sign is their vote; "
            f"got {type(machines[0]).__name__}, so convert its estimators_ one by one."
        )
    classes = len(estimator.classes_)
    # A machine of i < j is positive for j. At exactly 0 it predicts i, but an SVC predicts j.
    first_at_zero = not isinstance(last_step(machines[0]), SVC | NuSVC)

    def toward_first() -> tuple[Stage, Stage]:
        return _beside([build(machine, "decision") for machine in machines]), affine(-np.eye(len(machines)))

    def pairs() -> Stage:
        return toward_first()[0] if classes == 2 else Chain(toward_first())

    def decision() -> Chain:
        # The one pair of two classes is read as the second's here, so that turned around the second comes first.
        second = (Take((0,), 2),) if classes == 2 else ()
        return Chain((*toward_first(), OvrDecision(classes, first_at_zero), *second))

    return {"decision": decision, "pairs": pairs}


register(
    Entry(
        OneVsRestClassifier,
        "composition",
        "the machines' decisions side by side; proba: their p_c divided by the sum over classes",
        "one label an example; classifiers with decision_function or predict_proba that are supported; log_proba is "
        "the logarithm of predict_proba, which scikit-learn has no method for; where all its p_c round to 0 it gives "
        "0 for every class, the stage their ratios",
        _rest_outputs,
        ("decision", "log_proba", "proba"),
    )
)
register(
    Entry(
        OneVsOneClassifier,
        "composition",
        "votes + s / (3 (|s| + 1)), s_c = sum of the machines' decisions signed toward c",
        "supported classifiers with decision_function; votes are piecewise constant",
        _pair_outputs,
        ("decision", "pairs"),
    )
)

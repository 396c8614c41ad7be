"""Calibrated probabilities: Platt's sigmoid of an SVM, and classifiers calibrated by cross-validation."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC, NuSVC

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.reducers import affine
from pcacam_jax.scikit.registry import Entry, Outputs, build, check_fitted, out_size, register
from pcacam_jax.scikit.steps import Estimator, last_step
from pcacam_jax.stages import Elementwise, Softmax, Take
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.parallel import Parallel

METHODS = ("sigmoid", "temperature")


def platt_outputs(svc: Estimator, decision: Callable[[], Stage]) -> Outputs:
    """Return the outputs log_proba and proba of an SVC with two classes and ``probability=True``, else no outputs.

    p_0 = sigmoid(A g - B) and p_1 = sigmoid(B - A g), where g > 0 for class 1. scikit-learn post-processes p with an
    iterative pairwise coupling that stops early: its predict_proba differs from the sigmoid by up to 0.005 and is
    constant near p = 1/2. The sigmoid is the limit of that iteration.
    """
    if not hasattr(svc, "predict_proba") or len(svc.classes_) != 2:
        return {}

    def platt(name: str) -> Chain:
        with warnings.catch_warnings():
            # probA_ and probB_ are deprecated with probability=True, but no other public attribute holds A and B.
            warnings.simplefilter("ignore", FutureWarning)
            (slope,), (shift,) = svc.probA_, svc.probB_
        logits = affine([[slope], [-slope]], offset=[-shift, shift])
        return Chain((decision(), logits, Elementwise(name, 2)))

    return {"log_proba": lambda: platt("log_sigmoid"), "proba": lambda: platt("sigmoid")}


def check_probabilities(estimator: Estimator, output: str | None) -> None:
    """Reject the probabilities of an SVC or NuSVC with more than two classes.

    Raises:
        InputError: if such a probability is requested; the message says what to fit instead.
    """
    svc = last_step(estimator)
    if not isinstance(output, str) or output not in ("log_proba", "proba") or not isinstance(svc, SVC | NuSVC):
        return
    check_fitted(svc)
    if len(svc.classes_) > 2:
        kind = type(svc).__name__
        raise InputError(
            f"{output} of {kind} is supported with two classes only; got {len(svc.classes_)} classes, whose "
            f"probabilities scikit-learn computes by an iteration without a closed form, so fit "
            f'CalibratedClassifierCV({kind}(...), method="sigmoid") instead.'
        )


def _response(estimator: Estimator) -> tuple[Stage, bool]:
    """Return the stage that is calibrated, and whether it is a decision.

    Otherwise it gives probabilities: of the second class if there are two, of all classes if there are more.
    """
    if hasattr(estimator, "decision_function"):
        return build(estimator, "decision"), True
    proba = build(estimator, "proba")
    return (Chain((proba, Take((1,), 2))) if len(estimator.classes_) == 2 else proba), False


def _calibrated_outputs(estimator: Estimator) -> Outputs:
    if estimator.method not in METHODS:
        raise InputError(
            f"the method of CalibratedClassifierCV must be one of {', '.join(METHODS)}; got {estimator.method!r}, "
            f"which is piecewise constant, so its derivative is zero; fit with one of these methods."
        )
    return {
        "log_proba": lambda: _mean_of_folds(estimator, log=True),
        "proba": lambda: _mean_of_folds(estimator, log=False),
    }


def _mean_of_folds(estimator: Estimator, *, log: bool) -> Stage:
    classes = len(estimator.classes_)
    folds = tuple(_calibrated(fold, classes, log=log) for fold in estimator.calibrated_classifiers_)
    if len(folds) == 1:
        return folds[0]
    if log:
        return Chain((Parallel(folds), _log_means(len(folds), classes)))
    return Chain((Parallel(folds), affine(np.tile(np.eye(classes), len(folds)) / len(folds))))


def _log_means(folds: int, classes: int) -> Parallel:
    """Return the stage from log p_fc of all folds f and classes c to log mean_f p_fc, (F C,) -> (C,).

    It is computed as log p_1c - log(p_1c / sum_f p_fc) - log F. Only differences of logarithms are exponentiated, so
    the result is right even where every p_fc underflows.
    """
    unchanged, shares = Elementwise("identity", folds), Softmax(folds, log=True)
    first = np.eye(1, folds)
    total = affine(np.hstack([first, -first]), offset=-np.log(folds))
    size = folds * classes
    return Parallel(
        tuple(
            Chain((Take(tuple(range(c, size, classes)), size), Parallel((unchanged, shares)), total))
            for c in range(classes)
        )
    )


def _calibrated(fold: Estimator, classes: int, *, log: bool) -> Chain:
    base = fold.estimator
    if len(base.classes_) != classes:
        raise InputError(
            f"a fold of CalibratedClassifierCV was fitted on {len(base.classes_)} of {classes} classes; "
            f"use stratified folds, so that every fold contains all classes."
        )
    scores, is_decision = _response(base)
    if fold.method == "sigmoid":
        return _with_sigmoids(scores, fold, log=log)
    return _with_temperature(scores, is_decision, fold, log=log)


def _with_sigmoids(scores: Stage, fold: Estimator, *, log: bool) -> Chain:
    """Return p_c = sigmoid(-(a_c s_c + b_c)) of every class, divided by their sum; with two classes (1 - p, p).

    The quotient is computed as softmax of log-sigmoids, which is right even where every p_c underflows.
    """
    slopes = np.array([calibrator.a_ for calibrator in fold.calibrators])
    shifts = np.array([calibrator.b_ for calibrator in fold.calibrators])
    if len(slopes) == 1:
        logits = affine([slopes, -slopes], offset=[shifts, -shifts])
        return Chain((scores, logits, Elementwise("log_sigmoid" if log else "sigmoid", 2)))
    size = len(slopes)
    # If the decision has more pairs than there are classes, scikit-learn calibrates the first C of them.
    logits = affine(np.eye(size, out_size(scores)) * -slopes[:, None], offset=-shifts)
    return Chain((scores, logits, Elementwise("log_sigmoid", size), Softmax(size, log)))


def _with_temperature(scores: Stage, is_decision: bool, fold: Estimator, *, log: bool) -> Chain:
    """Return softmax(beta z), where z is the decision, with two classes (-s, s), or log(p + 1e-12) of probabilities."""
    classes = len(fold.classes)
    if out_size(scores) > classes:
        raise InputError(
            f'CalibratedClassifierCV(method="temperature") needs one score per class, but the decision has '
            f"{out_size(scores)} values for {classes} classes, for which scikit-learn fails too; "
            f'fit with decision_function_shape="ovr".'
        )
    beta, softmax = float(fold.calibrators[0].beta_), Softmax(classes, log)
    if is_decision:
        return Chain((scores, affine(beta * (np.array([[-1.0], [1.0]]) if classes == 2 else np.eye(classes))), softmax))
    both_classes = (affine([[-1], [1]], offset=[1, 0]),) if classes == 2 else ()
    logarithms = (affine(np.eye(classes), offset=1e-12), Elementwise("log", classes))
    return Chain((scores, *both_classes, *logarithms, affine(beta * np.eye(classes)), softmax))


register(
    Entry(
        CalibratedClassifierCV,
        "elementwise",
        "mean over folds of sigmoid(-(a_c s_c + b_c)), divided by the sum over classes; "
        "temperature: softmax(beta s) of decisions s, softmax(beta log(p + 1e-12)) of probabilities p",
        "method sigmoid or temperature, with any supported classifier; not isotonic, which is piecewise constant; "
        "log_proba is the logarithm of predict_proba, since scikit-learn has no method for it; where all sigmoids of a "
        "fold round to 0, scikit-learn uses equal probabilities for that fold and the stage uses their ratios",
        _calibrated_outputs,
        ("log_proba", "proba"),
    )
)

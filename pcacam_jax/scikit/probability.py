"""Calibrated probabilities: Platt's sigmoid of a machine, and classifiers calibrated by cross-validation."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from pcacam_jax.chain import Chain
from pcacam_jax.checks import InputError
from pcacam_jax.parallel import Parallel
from pcacam_jax.scikit.affine import affine
from pcacam_jax.scikit.registry import Entry, Estimator, Outputs, build, register
from pcacam_jax.stages import Elementwise, Normalise, Softmax, Take
from pcacam_jax.types import Stage

METHODS = ("sigmoid", "temperature")


def platt_outputs(svc: Estimator, decision: Callable[[], Stage]) -> Outputs:
    """Return the probabilities (p_0, p_1) of a machine of two classes fitted with ``probability=True``, if it has any.

    p_0 = sigmoid(A g - B) and p_1 = sigmoid(B - A g), g > 0 for class 1. scikit-learn passes p on to a coupling of
    several classes that stops before it has converged, so its values lie up to 0.005 away, and none at all changes
    near 1/2; the sigmoid is what that coupling converges to.
    """
    if not hasattr(svc, "predict_proba") or len(svc.classes_) != 2:
        return {}

    def platt(name: str) -> Chain:
        with warnings.catch_warnings():
            # Deprecated together with probability=True, and still the only public place of A and B.
            warnings.simplefilter("ignore", FutureWarning)
            (slope,), (shift,) = svc.probA_, svc.probB_
        logits = affine([[slope], [-slope]], offset=[-shift, shift])
        return Chain((decision(), logits, Elementwise(name, 2)))

    return {"log_proba": lambda: platt("log_sigmoid"), "proba": lambda: platt("sigmoid")}


def _response(estimator: Estimator) -> tuple[Stage, bool]:
    """Return what is calibrated, and whether it is a decision; else it is probabilities, of two classes the second."""
    if hasattr(estimator, "decision_function"):
        return build(estimator, "decision"), True
    return of_second(build(estimator, "proba"), len(estimator.classes_)), False


def of_second(proba: Stage, classes: int) -> Stage:
    """Return the probability of the second of two classes; of more classes all of them."""
    return Chain((proba, Take((1,), 2))) if classes == 2 else proba


def _calibrated_outputs(estimator: Estimator) -> Outputs:
    if estimator.method not in METHODS:
        raise InputError(
            f"the method of CalibratedClassifierCV must be one of {', '.join(METHODS)}; got {estimator.method!r}, "
            f"which is piecewise constant and has no derivative to speak of, so fit with one of those."
        )
    return {"proba": lambda: _mean_of_folds(estimator)}


def _mean_of_folds(estimator: Estimator) -> Stage:
    classes = len(estimator.classes_)
    folds = [_calibrated(fold, classes) for fold in estimator.calibrated_classifiers_]
    if len(folds) == 1:
        return folds[0]
    return Chain((Parallel(tuple(folds)), affine(np.tile(np.eye(classes), len(folds)) / len(folds))))


def _calibrated(fold: Estimator, classes: int) -> Chain:
    base = fold.estimator
    if len(base.classes_) != classes:
        raise InputError(
            f"a fold of CalibratedClassifierCV saw {len(base.classes_)} of {classes} classes; "
            f"fit it with stratified folds, so that every fold sees all."
        )
    scores, is_decision = _response(base)
    return _with_sigmoids(scores, fold) if fold.method == "sigmoid" else _with_temperature(scores, is_decision, fold)


def _with_sigmoids(scores: Stage, fold: Estimator) -> Chain:
    """p_c = sigmoid(-(a_c s_c + b_c)), one a class, then divided by their sum; with two classes (1 - p, p)."""
    slopes = np.array([calibrator.a_ for calibrator in fold.calibrators])
    shifts = np.array([calibrator.b_ for calibrator in fold.calibrators])
    if len(slopes) == 1:
        logits = affine([slopes, -slopes], offset=[shifts, -shifts])
        return Chain((scores, logits, Elementwise("sigmoid", 2)))
    size = len(slopes)
    logits = affine(np.diag(-slopes), offset=-shifts)
    return Chain((scores, logits, Elementwise("sigmoid", size), Normalise("l1", size)))


def _with_temperature(scores: Stage, is_decision: bool, fold: Estimator) -> Chain:
    """Softmax of beta z; z is the decision, (-s, s) with two classes, or log(p + 1e-12) of probabilities."""
    classes = len(fold.classes)
    beta, softmax = float(fold.calibrators[0].beta_), Softmax(classes)
    if is_decision:
        return Chain((scores, affine(beta * (np.array([[-1.0], [1.0]]) if classes == 2 else np.eye(classes))), softmax))
    both = (affine([[-1], [1]], offset=[1, 0]),) if classes == 2 else ()
    floored = (affine(np.eye(classes), offset=1e-12), Elementwise("log", classes))
    return Chain((scores, *both, *floored, affine(beta * np.eye(classes)), softmax))


register(
    Entry(
        CalibratedClassifierCV,
        "elementwise",
        "mean over folds of sigmoid(-(a_c s_c + b_c)), divided by the sum over classes; "
        "temperature: softmax(beta s), or of log(p + 1e-12)",
        "method sigmoid or temperature, on any supported classifier; isotonic regression is piecewise constant",
        _calibrated_outputs,
        ("proba",),
    )
)

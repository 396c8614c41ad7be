"""Calibrated probabilities: Platt's sigmoid of a machine, and classifiers calibrated by cross-validation."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC, NuSVC

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.reducers import affine
from pcacam_jax.scikit.registry import Entry, Estimator, Outputs, build, check_fitted, last_step, out_size, register
from pcacam_jax.stages import Elementwise, Softmax, Take
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.parallel import Parallel

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


def check_probabilities(estimator: Estimator, output: str | None) -> None:
    """Refuse the probabilities of a machine of more than two classes, which ``probability=True`` promises.

    Raises:
        InputError: why they have no closed form, and what to fit instead.
    """
    machine = last_step(estimator)
    if output not in ("log_proba", "proba") or not isinstance(machine, SVC | NuSVC):
        return
    check_fitted(machine)
    if len(machine.classes_) > 2:
        raise InputError(
            f"{output} of {type(machine).__name__} takes two classes; got {len(machine.classes_)}, whose probabilities "
            f"scikit-learn couples pair by pair in an iteration that has no closed form, so fit "
            f'CalibratedClassifierCV({type(machine).__name__}(...), method="sigmoid") instead.'
        )


def _response(estimator: Estimator) -> tuple[Stage, bool]:
    """Return what is calibrated, and whether it is a decision; else it is probabilities, of two classes the second."""
    if hasattr(estimator, "decision_function"):
        return build(estimator, "decision"), True
    proba = build(estimator, "proba")
    return (Chain((proba, Take((1,), 2))) if len(estimator.classes_) == 2 else proba), False


def _calibrated_outputs(estimator: Estimator) -> Outputs:
    if estimator.method not in METHODS:
        raise InputError(
            f"the method of CalibratedClassifierCV must be one of {', '.join(METHODS)}; got {estimator.method!r}, "
            f"which is piecewise constant and has no derivative to speak of, so fit with one of those."
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
    """Return log mean_f p_fc of every class from all log p_fc: log p_1c - log(p_1c / sum_f p_fc) - log F.

    Nothing is exponentiated but differences, so that it is right where every p_fc is too small for a number.
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
            f"a fold of CalibratedClassifierCV saw {len(base.classes_)} of {classes} classes; "
            f"fit it with stratified folds, so that every fold sees all."
        )
    scores, is_decision = _response(base)
    if fold.method == "sigmoid":
        return _with_sigmoids(scores, fold, log=log)
    return _with_temperature(scores, is_decision, fold, log=log)


def _with_sigmoids(scores: Stage, fold: Estimator, *, log: bool) -> Chain:
    """p_c = sigmoid(-(a_c s_c + b_c)), one a class, divided by their sum; with two classes (1 - p, p).

    The quotient is the softmax of log-sigmoids, which is right where every p_c is too small to be divided by.
    """
    slopes = np.array([calibrator.a_ for calibrator in fold.calibrators])
    shifts = np.array([calibrator.b_ for calibrator in fold.calibrators])
    if len(slopes) == 1:
        logits = affine([slopes, -slopes], offset=[shifts, -shifts])
        return Chain((scores, logits, Elementwise("log_sigmoid" if log else "sigmoid", 2)))
    size = len(slopes)
    # Of a decision of more pairs than classes scikit-learn calibrates the first ones, one a class.
    logits = affine(np.eye(size, out_size(scores)) * -slopes[:, None], offset=-shifts)
    return Chain((scores, logits, Elementwise("log_sigmoid", size), Softmax(size, log)))


def _with_temperature(scores: Stage, is_decision: bool, fold: Estimator, *, log: bool) -> Chain:
    """Softmax of beta z; z is the decision, (-s, s) with two classes, or log(p + 1e-12) of probabilities."""
    classes = len(fold.classes)
    if out_size(scores) > classes:
        raise InputError(
            f"temperature of CalibratedClassifierCV takes a score a class, but the decision has {out_size(scores)} for "
            f'{classes} classes, at which scikit-learn fails too; fit with decision_function_shape="ovr".'
        )
    beta, softmax = float(fold.calibrators[0].beta_), Softmax(classes, log)
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
        "method sigmoid or temperature, on any supported classifier; isotonic regression is piecewise constant; "
        "log_proba is the logarithm of predict_proba, which scikit-learn has no method for; where all sigmoids of a "
        "fold round to 0 it gives that fold equal probabilities, the stage their ratios",
        _calibrated_outputs,
        ("log_proba", "proba"),
    )
)

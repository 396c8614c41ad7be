"""Linear classifiers and regressors x -> W x + b, and the probabilities that follow from W x + b."""

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    Lasso,
    LassoCV,
    LassoLars,
    LassoLarsCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    OrthogonalMatchingPursuit,
    Perceptron,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
)
from sklearn.svm import LinearSVC, LinearSVR

from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.reducers import affine
from pcacam_jax.scikit.registry import Entry, Estimator, Outputs, check_one_label, register
from pcacam_jax.stages.activation import Elementwise
from pcacam_jax.stages.affine import Affine
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.softmax import Softmax


def linear(estimator: Estimator) -> Affine:
    """Return x -> W x + b; with two classes W has one row, for ``classes_[1]``."""
    return affine(estimator.coef_, offset=estimator.intercept_)


def softmax_of_scores(scores: Affine) -> Outputs:
    """Return the outputs log_proba and proba as softmax of the scores, of (0, g) for a single score g."""
    if len(scores.matrix) == 1:
        matrix = np.vstack([np.zeros_like(scores.matrix), scores.matrix])
        scores = affine(matrix, center=scores.center, offset=np.append(0.0, scores.offset))
    return softmaxes(scores, size=len(scores.matrix))


def softmaxes(*stages: Stage, size: int) -> Outputs:
    """Return the outputs log_proba and proba as softmax of the ``size`` class scores that the chain of stages gives."""
    return {
        "log_proba": lambda: Chain((*stages, Softmax(size, log=True))),
        "proba": lambda: Chain((*stages, Softmax(size))),
    }


def _probabilities(scores: Affine, *, one_vs_rest: bool) -> Outputs:
    """Return the softmax, or for one-vs-rest the sigmoids divided by their sum, which is a softmax of log-sigmoids."""
    size = len(scores.matrix)
    if one_vs_rest and size > 1:
        return softmaxes(scores, Elementwise("log_sigmoid", size), size=size)
    return softmax_of_scores(scores)


def _decision(estimator: Estimator) -> Outputs:
    return {"decision": lambda: linear(estimator)}


def _ridge_classifier(estimator: Estimator) -> Outputs:
    check_one_label(estimator)
    return _decision(estimator)


def _prediction(estimator: Estimator) -> Outputs:
    return {"predict": lambda: linear(estimator)}


def _detection(estimator: Estimator) -> Outputs:
    return {"decision": lambda: affine(estimator.coef_, offset=-estimator.offset_)}


def _logistic_regression(estimator: Estimator) -> Outputs:
    # Versions before 1.8 have the option multi_class, with which the probabilities may differ from the softmax.
    multi_class = getattr(estimator, "multi_class", "auto")
    if multi_class == "multinomial" and len(estimator.classes_) == 2:
        return _decision(estimator)
    one_vs_rest = multi_class == "ovr" or estimator.solver == "liblinear"
    return _decision(estimator) | _probabilities(linear(estimator), one_vs_rest=one_vs_rest)


def _sgd_classifier(estimator: Estimator) -> Outputs:
    if estimator.loss != "log_loss":
        return _decision(estimator)
    return _decision(estimator) | _probabilities(linear(estimator), one_vs_rest=True)


def _discriminant(estimator: Estimator) -> Outputs:
    outputs = _decision(estimator) | softmax_of_scores(linear(estimator))
    if estimator.solver == "lsqr":
        return outputs
    return outputs | {"transform": lambda: _discriminant_axes(estimator)}


def _discriminant_axes(estimator: Estimator) -> Affine:
    axes = estimator.n_components
    if axes is None:
        axes = min(len(estimator.classes_) - 1, estimator.n_features_in_)
    return affine(estimator.scalings_[:, :axes].T, center=estimator.xbar_ if estimator.solver == "svd" else None)


REGRESSORS = (
    LinearSVR,
    LinearRegression,
    Ridge,
    RidgeCV,
    Lasso,
    LassoCV,
    ElasticNet,
    ElasticNetCV,
    LassoLars,
    LassoLarsCV,
    OrthogonalMatchingPursuit,
    BayesianRidge,
    HuberRegressor,
    SGDRegressor,
)
PROBABILITIES = ("decision", "log_proba", "proba")

for _kind in (LinearSVC, Perceptron):
    register(Entry(_kind, "affine", "W x + b", "", _decision, ("decision",)))
for _kind in (RidgeClassifier, RidgeClassifierCV):
    register(Entry(_kind, "affine", "W x + b", "single-label classification only", _ridge_classifier, ("decision",)))
for _kind in REGRESSORS:
    register(Entry(_kind, "affine", "W x + b", "", _prediction, ("predict",)))
register(Entry(SGDOneClassSVM, "affine", "w x - rho, positive for inliers", "", _detection, ("decision",)))
for _kind in (LogisticRegression, LogisticRegressionCV):
    register(
        Entry(
            _kind,
            "affine",
            "W x + b; proba softmax(W x + b), with two classes sigmoid(W x + b)",
            "",
            _logistic_regression,
            PROBABILITIES,
        )
    )
register(
    Entry(
        SGDClassifier,
        "affine",
        "W x + b; proba sigmoid(W x + b) divided by the sum over classes",
        'probabilities only with `loss="log_loss"`',
        _sgd_classifier,
        PROBABILITIES,
    )
)
register(
    Entry(
        LinearDiscriminantAnalysis,
        "affine",
        "W x + b; proba softmax(W x + b), with two classes sigmoid(W x + b); transform S^T (x - mean)",
        'no transform with `solver="lsqr"`; before the last step of a pipeline it transforms, and as the last step its '
        "default output is decision",
        _discriminant,
        (*PROBABILITIES, "transform"),
    )
)

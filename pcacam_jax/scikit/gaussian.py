"""Gaussian classifiers, whose log density of every class is quadratic in the features."""

from typing import Any

import numpy as np
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB

from pcacam_jax.core.checks import InputError
from pcacam_jax.scikit.linear_models import softmaxes
from pcacam_jax.scikit.reducers import affine
from pcacam_jax.scikit.registry import Entry, Estimator, Outputs, register
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.quadratic import DiagonalQuadratic, Quadratic


def _log_priors(priors: Any, labels: Any) -> Any:
    if not (priors > 0).all():
        raise InputError(
            f"the prior of class {labels[int(np.argmin(priors))]} is 0, so its logarithm is infinite; "
            f"fit without that class, or give it a positive prior."
        )
    return np.log(priors)


def _log_posteriors(estimator: Estimator) -> Quadratic:
    """Return x -> log prior_c - (sum_r log s_cr + ||diag(s_c)^(-1/2) R_c^T (x - mean_c)||^2) / 2, (C,)."""
    scalings = estimator.scalings_
    rank, size = max(map(len, scalings)), estimator.means_.shape[1]
    factors: Any = np.zeros((len(scalings), rank, size))
    for c, (rotation, scaling) in enumerate(zip(estimator.rotations_, scalings, strict=True)):
        factors[c, : len(scaling)] = (rotation * scaling**-0.5).T
    log_determinants = np.array([np.log(scaling).sum() for scaling in scalings])
    offset = _log_priors(estimator.priors_, estimator.classes_) - log_determinants / 2
    return Quadratic(factors, estimator.means_, offset)


def _joint_log_likelihoods(estimator: Estimator) -> DiagonalQuadratic:
    """Return x -> log prior_c - sum_j (log(2 pi var_cj) + (x_j - theta_cj)^2 / var_cj) / 2, (C,)."""
    log_determinants = np.log(2 * np.pi * estimator.var_).sum(axis=1)
    offset = _log_priors(estimator.class_prior_, estimator.classes_) - log_determinants / 2
    return DiagonalQuadratic(1 / estimator.var_, estimator.theta_, offset)


def _qda_outputs(estimator: Estimator) -> Outputs:
    scores, classes = _log_posteriors(estimator), len(estimator.classes_)
    decision = Chain((scores, affine([[-1, 1]]))) if classes == 2 else scores
    return {"decision": lambda: decision, **softmaxes(scores, size=classes)}


def _naive_bayes_outputs(estimator: Estimator) -> Outputs:
    return softmaxes(_joint_log_likelihoods(estimator), size=len(estimator.classes_))


register(
    Entry(
        QuadraticDiscriminantAnalysis,
        "quadratic",
        "log prior_c - (log det S_c + (x - mean_c)^T S_c^-1 (x - mean_c)) / 2; with two classes their difference",
        "positive priors",
        _qda_outputs,
        ("decision", "log_proba", "proba"),
    )
)
register(
    Entry(
        GaussianNB,
        "quadratic",
        "log-softmax of log prior_c - sum_j (log(2 pi var_cj) + (x_j - theta_cj)^2 / var_cj) / 2",
        "positive priors; no decision_function",
        _naive_bayes_outputs,
        ("log_proba", "proba"),
    )
)

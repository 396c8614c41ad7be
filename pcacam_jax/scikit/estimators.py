"""Fitted estimators and pipelines become stages, from their fitted attributes."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from pcacam_jax.chain import Chain
from pcacam_jax.checks import InputError, check_choice
from pcacam_jax.stages.affine import Affine, Scaling
from pcacam_jax.stages.expansion import KernelExpansion
from pcacam_jax.stages.svm import OvrDecision, PairwiseMargins, SVMClassifier
from pcacam_jax.types import Stage

Estimator = Any
"""A scikit-learn object; its fitted attributes are not part of its static type."""


def from_sklearn(estimator: Estimator, *, output: str | None = None, dtype: Any = None) -> Stage:
    """Return the stage of a fitted estimator or pipeline: stage(x): (d,) -> (out,) for one example.

    Args:
        estimator: fitted PCA, StandardScaler, SVC with a linear or RBF kernel, or a Pipeline of these.
        output: what the stage equals: ``"transform"`` for a transformer; for an SVC ``"decision"`` (its own
            ``decision_function``, the default; one value with two classes), ``"pairs"`` (a value per pair of classes
            i < j, positive for i) or ``"margin"`` (signed sums of pairs, one smooth value a class).
        dtype: dtype of the parameters; by default the widest that JAX is set to.

    Raises:
        InputError: not fitted, not supported, or an output that the estimator does not have.
    """
    stage = _build(estimator, output)
    dtype = jax.dtypes.canonicalize_dtype(float) if dtype is None else dtype
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), stage)


def _build(estimator: Estimator, output: str | None) -> Stage:
    check_fitted(estimator)
    if type(estimator) not in BUILDERS:
        known = ", ".join(kind.__name__ for kind in BUILDERS)
        raise InputError(
            f"{type(estimator).__name__} is not supported; expected one of {known}. "
            f"Write its stage by hand: any object with the methods of pcacam_jax.Stage will do."
        )
    return BUILDERS[type(estimator)](estimator, output)


def svm_classifier(estimator: Estimator, *, dtype: Any = None) -> SVMClassifier:
    """Return class margins with the estimator's own prediction, from an SVC or a Pipeline that ends in one."""
    svc = steps_of(estimator)[-1]
    if not isinstance(svc, SVC):
        raise InputError(f"an SVM must be an SVC or a Pipeline that ends in one; got {type(svc).__name__}.")
    pairs = from_sklearn(estimator, output="pairs", dtype=dtype)
    break_ties = bool(svc.break_ties) and svc.decision_function_shape == "ovr"
    return SVMClassifier(pairs, len(svc.classes_), break_ties)


def _pca(estimator: Estimator, output: str | None) -> Affine:
    _check_output(estimator, output, "transform")
    matrix = estimator.components_
    if estimator.whiten:
        # scikit-learn's own floor: a component without variance is not divided by zero.
        deviation = np.sqrt(estimator.explained_variance_)
        matrix = matrix / np.maximum(deviation, np.finfo(deviation.dtype).eps)[:, None]
    return Affine(matrix, estimator.mean_, jnp.zeros(len(matrix)))


def _standard_scaler(estimator: Estimator, output: str | None) -> Scaling:
    _check_output(estimator, output, "transform")
    size = estimator.n_features_in_
    scale = jnp.ones(size) if estimator.scale_ is None else estimator.scale_
    center = jnp.zeros(size) if estimator.mean_ is None or not estimator.with_mean else estimator.mean_
    return Scaling(1 / scale, center)


def _svc(estimator: Estimator, output: str | None) -> Stage:
    _check_output(estimator, output, "decision", "pairs", "margin")
    expansion = _kernel_expansion(estimator)
    classes = len(estimator.classes_)
    if output == "margin":
        return Chain((expansion, PairwiseMargins(classes)))
    if output == "pairs" or classes == 2 or estimator.decision_function_shape == "ovo":
        return expansion
    return Chain((expansion, OvrDecision(classes)))


def _kernel_expansion(estimator: Estimator) -> KernelExpansion:
    if not isinstance(estimator.kernel, str) or estimator.kernel not in KERNEL_PARAMETERS:
        known = ", ".join(KERNEL_PARAMETERS)
        raise InputError(f"the kernel of an SVC must be one of {known}; got {estimator.kernel!r}.")
    support = _as_dense(estimator.support_vectors_)
    coefficients = _pair_coefficients(_as_dense(estimator.dual_coef_), estimator.n_support_)
    if estimator.kernel == "linear":
        # sum_i alpha_i t_i s_i cancels most of its digits: it is taken once, here, in float64 (Eq. 25).
        coefficients, support = coefficients @ support, jnp.eye(support.shape[1])
    return KernelExpansion(
        support=support,
        coefficients=coefficients,
        intercept=estimator.intercept_,
        parameters=KERNEL_PARAMETERS[estimator.kernel](estimator),
        kernel=estimator.kernel,
    )


def _pair_coefficients(dual: np.ndarray, counts: np.ndarray) -> Any:
    """(P, n) alpha_i t_i from scikit-learn's (C - 1, n): support vectors lie class by class, ``counts`` of each.

    For the pair i < j, those of class i keep theirs in row j - 1 and those of class j in row i.
    """
    if len(dual) == 1:
        return dual
    ends = np.cumsum(counts)
    members = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    pairs = list(itertools.combinations(range(len(counts)), 2))
    coefficients = np.zeros((len(pairs), dual.shape[1]))
    for p, (i, j) in enumerate(pairs):
        coefficients[p, members[i]] = dual[j - 1, members[i]]
        coefficients[p, members[j]] = dual[i, members[j]]
    return coefficients


def _gamma(estimator: Estimator) -> float:
    if estimator.gamma == "auto":
        return 1 / estimator.n_features_in_
    if estimator.gamma == "scale":
        # The one private attribute: 1 / (d Var X) of the training data is kept nowhere else.
        return estimator._gamma
    return estimator.gamma


def _pipeline(estimator: Pipeline, output: str | None) -> Chain:
    steps = steps_of(estimator)
    return Chain((*(_build(step, None) for step in steps[:-1]), _build(steps[-1], output)))


def steps_of(estimator: Estimator) -> list[Estimator]:
    """Return the steps of a pipeline that do something; any other estimator is its own only step."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    if not steps:
        raise InputError("a Pipeline must have at least one step that is not 'passthrough'.")
    return steps


KERNEL_PARAMETERS: dict[str, Callable[[Estimator], Any]] = {
    "linear": lambda estimator: {},
    "rbf": lambda estimator: {"gamma": _gamma(estimator)},
}
"""Every kernel that is taken from an SVC, with the parameters that its stage needs."""

BUILDERS: dict[type, Callable[[Any, str | None], Stage]] = {
    PCA: _pca,
    StandardScaler: _standard_scaler,
    SVC: _svc,
    Pipeline: _pipeline,
}
"""Every supported estimator with the function that builds its stage."""


def check_fitted(estimator: Estimator) -> None:
    """Refuse an estimator that is not fitted, and what is no estimator."""
    name = type(estimator).__name__
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise InputError(f"{name} is not fitted; call its fit before the conversion.") from error
    except TypeError as error:
        raise InputError(f"expected a fitted scikit-learn estimator; got {name}.") from error


def _check_output(estimator: Estimator, output: str | None, *choices: str) -> None:
    if output is not None:
        check_choice(f"output of {type(estimator).__name__}", output, choices)


def _as_dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix

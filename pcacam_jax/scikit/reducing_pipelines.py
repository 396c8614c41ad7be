"""Pipelines of reducers and a classifier, which a head divides into its outputs "pca" and the classifier."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from sklearn.cross_decomposition import PLSSVD, PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, KernelPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline

from pcacam_jax.scikit.registry import as_dense, as_dtype
from pcacam_jax.scikit.steps import Estimator, is_pipeline, last_step, steps_of

REDUCERS = (
    PCA,
    IncrementalPCA,
    TruncatedSVD,
    KernelPCA,
    FastICA,
    FactorAnalysis,
    LinearDiscriminantAnalysis,
    NeighborhoodComponentsAnalysis,
    PLSRegression,
    PLSSVD,
)
"""Transformers whose outputs are components. Selections, random projections and kernel approximations are not."""

VARIANCES = (PCA, IncrementalPCA, TruncatedSVD)
"""Reducers whose ``explained_variance_ratio_`` is each component's share of the variance of the features."""


def split_reducer(svms: Mapping[str, Estimator]) -> tuple[Estimator | None, Mapping[str, Estimator]]:
    """Return (the reducer that all of ``svms`` begin with, the rest of each), or (None, ``svms``).

    The reducer consists of the steps of a Pipeline up to its last reducing step, before its last step.
    """
    divided = {name: _divided(svm) for name, svm in svms.items()}
    reducers = [reducer for reducer, _ in divided.values()]
    if not reducers or not reducers[0] or any(not _are_same(reducers[0], other) for other in reducers):
        return None, svms
    return _joined(reducers[0]), {name: _joined(rest) for name, (_, rest) in divided.items()}


def _divided(svm: Estimator) -> tuple[list[Estimator], list[Estimator]]:
    """Return the steps up to the last reducer and the steps after it; the first list is empty without a reducer."""
    steps = steps_of(svm) if is_pipeline(svm) else [svm]
    ends = [n + 1 for n, step in enumerate(steps[:-1]) if isinstance(step, REDUCERS)]
    return (steps[: ends[-1]], steps[ends[-1] :]) if ends else ([], steps)


def _are_same(one: list[Estimator], other: list[Estimator]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _joined(steps: list[Estimator]) -> Estimator:
    return steps[0] if len(steps) == 1 else make_pipeline(*steps)


def shares_of(pca: Estimator | None, dtype: Any) -> jax.Array | None:
    """Return the share of the variance that each component explains, ``(D,)``, or None if the PCA does not store it."""
    last = last_step(pca)
    if not isinstance(last, VARIANCES):
        return None
    # A PCA of features that are all equal divides 0 by 0.
    ratios = np.nan_to_num(as_dense(last.explained_variance_ratio_))
    return as_dtype("variance shares", ratios, dtype or jax.dtypes.canonicalize_dtype(float))

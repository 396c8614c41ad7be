"""Scalers, projections and other reducers: x -> A (x - center) + offset."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cross_decomposition import PLSSVD, PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.random_projection import GaussianRandomProjection

from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.registry import Entry, Estimator, Outputs, as_dense, method_values, register
from pcacam_jax.stages.activation import Elementwise
from pcacam_jax.stages.affine import Affine, Scaling
from pcacam_jax.stages.chain import Chain

FAR = 2.0**100
"""A coordinate beside which the center of the data is negligible."""


def affine(matrix: Any, *, center: Any = None, offset: Any = 0.0) -> Affine:
    """Return x -> A (x - center) + offset, where A is a dense or sparse matrix (out, d), or (d,) for one output."""
    matrix = np.atleast_2d(as_dense(matrix))
    center = np.zeros(matrix.shape[1]) if center is None else as_dense(center)
    return Affine(matrix, center, as_dense(np.broadcast_to(np.ravel(offset), len(matrix))))


def scaling(size: int, *, scale: Any = 1.0, divisor: Any = None, center: Any = None) -> Scaling:
    """Return the elementwise stage x -> scale (x - center) / divisor; None stands for divisor 1 and center 0."""
    scale = as_dense(scale) / as_dense(np.ones(size) if divisor is None else divisor)
    return Scaling(scale, as_dense(np.zeros(size) if center is None else center))


def _clipped(scaled: Scaling, low: float, high: float) -> Chain:
    """Return the scaled value y clipped to [low, high], as high - relu(high - low - relu(y - low))."""
    size = len(scaled.scale)
    above_low = scaling(size, scale=scaled.scale, center=scaled.center + low / scaled.scale)
    range_minus, high_minus = (scaling(size, scale=-1.0, center=np.full(size, end)) for end in (high - low, high))
    relu = Elementwise("relu", size)
    return Chain((above_low, relu, range_minus, relu, high_minus))


def _standard_scaler(estimator: Estimator) -> Stage:
    center = estimator.mean_ if estimator.with_mean else None
    return scaling(estimator.n_features_in_, divisor=estimator.scale_, center=center)


def _min_max_scaler(estimator: Estimator) -> Stage:
    scale = as_dense(estimator.scale_)
    scaled = scaling(len(scale), scale=scale, center=-as_dense(estimator.min_) / scale)
    return _clipped(scaled, *estimator.feature_range) if estimator.clip else scaled


def _max_abs_scaler(estimator: Estimator) -> Stage:
    scaled = scaling(estimator.n_features_in_, divisor=estimator.scale_)
    return _clipped(scaled, -1.0, 1.0) if getattr(estimator, "clip", False) else scaled


def _robust_scaler(estimator: Estimator) -> Stage:
    return scaling(estimator.n_features_in_, divisor=estimator.scale_, center=estimator.center_)


def _pca(estimator: Estimator) -> Stage:
    matrix = as_dense(estimator.components_)
    if estimator.whiten:
        # As in scikit-learn, a component without variance is divided by eps instead of zero.
        deviation = np.sqrt(estimator.explained_variance_)
        matrix = matrix / np.maximum(deviation, np.finfo(deviation.dtype).eps)[:, None]
    return affine(matrix, center=estimator.mean_)


def _projection(estimator: Estimator) -> Stage:
    return affine(estimator.components_)


def _fast_ica(estimator: Estimator) -> Stage:
    return affine(estimator.components_, center=estimator.mean_ if estimator.whiten else None)


def _factor_analysis(estimator: Estimator) -> Stage:
    loadings = as_dense(estimator.components_)
    weighted = loadings / estimator.noise_variance_
    return affine(np.linalg.solve(np.eye(len(loadings)) + weighted @ loadings.T, weighted), center=estimator.mean_)


def _probed_matrix(estimator: Estimator) -> np.ndarray:
    """Return the matrix A of an affine ``transform`` with private center and scale, from far points on the axes."""
    return method_values(estimator.transform, FAR * np.eye(estimator.n_features_in_)).T / FAR


def _pls_svd(estimator: Estimator) -> Stage:
    offset = method_values(estimator.transform, np.zeros((1, estimator.n_features_in_)))
    return affine(_probed_matrix(estimator), offset=offset)


def _pls_regression(estimator: Estimator) -> Outputs:
    def center() -> np.ndarray:
        return method_values(estimator.inverse_transform, np.zeros((1, estimator.x_rotations_.shape[1])))[0]

    return {
        "predict": lambda: affine(estimator.coef_, center=center(), offset=estimator.intercept_),
        "transform": lambda: affine(_probed_matrix(estimator), center=center()),
    }


def register_transformer(
    kind: type, stage: str, formula: str, limits: str, transform: Callable[[Estimator], Stage]
) -> None:
    """Register an estimator with the single output ``transform``."""

    def outputs(estimator: Estimator) -> Outputs:
        return {"transform": lambda: transform(estimator)}

    register(Entry(kind, stage, formula, limits, outputs, ("transform",)))


PCA_FORMULA = "P^T (x - mean), with whiten=True divided by the standard deviations"

TRANSFORMERS: tuple[tuple[type, str, str, Callable[[Estimator], Stage]], ...] = (
    (StandardScaler, "(x - mean) / scale", "", _standard_scaler),
    (MinMaxScaler, "scale x + min, clipped to feature_range with clip=True", "", _min_max_scaler),
    (MaxAbsScaler, "x / scale, clipped to [-1, 1] with clip=True", "", _max_abs_scaler),
    (RobustScaler, "(x - median) / range", "", _robust_scaler),
    (PCA, PCA_FORMULA, "", _pca),
    (IncrementalPCA, PCA_FORMULA, "", _pca),
    (TruncatedSVD, "V^T x", "", _projection),
    (NeighborhoodComponentsAnalysis, "A x", "", _projection),
    (FastICA, "W (x - mean)", "", _fast_ica),
    (FactorAnalysis, "(I + L N^-1 L^T)^-1 L N^-1 (x - mean), loadings L, noise variances N", "", _factor_analysis),
    (PLSSVD, "W^T ((x - mean) / scale)", "transforms x only; parameters computed from values of `transform`", _pls_svd),
    (GaussianRandomProjection, "R x", "", _projection),
)

for _kind, _formula, _limits, _transform in TRANSFORMERS:
    register_transformer(_kind, "affine", _formula, _limits, _transform)
register(
    Entry(
        PLSRegression,
        "affine",
        "B (x - mean) + intercept; transform R^T ((x - mean) / scale)",
        "transforms x only; mean and scale are computed from values of `transform` and `inverse_transform`",
        _pls_regression,
        ("predict", "transform"),
    )
)

"""Normalizer, power transforms and random Fourier features."""

import copy

import numpy as np
from sklearn.kernel_approximation import RBFSampler
from sklearn.preprocessing import Normalizer, PowerTransformer

from pcacam_jax.chain import Chain
from pcacam_jax.scikit.affine import register_transformer, scaling
from pcacam_jax.scikit.registry import Estimator, as_dense, own_values
from pcacam_jax.stages.affine import Scaling
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.normalise import Normalise
from pcacam_jax.stages.power import Power
from pcacam_jax.types import Stage


def _normalizer(estimator: Estimator) -> Stage:
    return Normalise(estimator.norm, int(estimator.n_features_in_))


def _power_transformer(estimator: Estimator) -> Stage:
    power = Power(as_dense(estimator.lambdas_), estimator.method)
    return Chain((power, _standardizing(estimator))) if estimator.standardize else power


def _standardizing(estimator: Estimator) -> Scaling:
    """Return the scaling after the power, which is private: read at the mean and one deviation beside it.

    On one side of the mean the power may have no inverse.
    """
    raw = copy.copy(estimator).set_params(standardize=False)
    size = estimator.n_features_in_
    middle, above, below = own_values(estimator.inverse_transform, np.array([[0.0], [1], [-1]]) + np.zeros(size))
    beside = np.where(np.isfinite(above) & ((above > 0) | (estimator.method != "box-cox")), above, below)
    powers = own_values(raw.transform, np.stack([middle, beside]))
    scaled = own_values(estimator.transform, np.stack([middle, beside]))
    scale = (scaled[1] - scaled[0]) / (powers[1] - powers[0])
    return scaling(size, scale=scale, center=powers[0] - scaled[0] / scale)


def _rbf_sampler(estimator: Estimator) -> Stage:
    offset = as_dense(estimator.random_offset_)
    size = len(offset)
    waves = Dense(as_dense(estimator.random_weights_), offset, "cosine")
    return Chain((waves, scaling(size, scale=np.sqrt(2 / size))))


register_transformer(
    Normalizer,
    "norm",
    "x / norm of x, l1, l2 or max",
    "a kink where entries are 0 (l1) or change places (max)",
    _normalizer,
)
register_transformer(
    PowerTransformer,
    "elementwise",
    "Yeo-Johnson or Box-Cox power of every entry, then (y - mean) / scale",
    "Box-Cox of positive entries only; mean and scale read from values of `transform`",
    _power_transformer,
)
register_transformer(RBFSampler, "elementwise", "sqrt(2 / D) cos(W^T x + b)", "", _rbf_sampler)

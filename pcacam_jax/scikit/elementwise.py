"""Normalizer, power transforms and random Fourier features."""

import copy

import numpy as np
from sklearn.kernel_approximation import RBFSampler
from sklearn.preprocessing import Normalizer, PowerTransformer

from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.reducers import FAR, register_transformer, scaling
from pcacam_jax.scikit.registry import Estimator, as_dense, own_values
from pcacam_jax.stages.affine import Scaling
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.normalise import Normalise
from pcacam_jax.stages.power import Power

PROBES = 2.0 ** np.append(-(2.0 ** np.arange(-6, 9)), 2.0 ** np.arange(-6, 9))
"""Points, one of which has a large power for any exponent."""


def _normalizer(estimator: Estimator) -> Stage:
    return Normalise(estimator.norm, int(estimator.n_features_in_))


def _power_transformer(estimator: Estimator) -> Stage:
    power = Power(as_dense(estimator.lambdas_), estimator.method)
    return Chain((power, _standardizing(estimator))) if estimator.standardize else power


def _standardizing(estimator: Estimator) -> Scaling:
    """Return the scaling (y - mean) / scale after the power, which is private: read at two points.

    At one the power is 0 for every exponent. The other is the one of ``PROBES`` with the largest power below ``FAR``,
    beside which the mean takes no digits; powers of the data may all round to the same number.
    """
    zero, probes = (1.0, PROBES) if estimator.method == "box-cox" else (0.0, np.append(-PROBES, PROBES))
    size = estimator.n_features_in_
    points = np.tile(probes[:, None], size)
    with np.errstate(all="ignore"):
        powers = own_values(copy.copy(estimator).set_params(standardize=False).transform, points)
    which = np.where(np.abs(powers) < FAR, np.abs(powers), 0).argmax(axis=0), np.arange(size)
    at_zero, beyond = own_values(estimator.transform, np.stack([np.full(size, zero), points[which]]))
    scale = (beyond - at_zero) / powers[which]
    return scaling(size, scale=scale, center=-at_zero / scale)


def _rbf_sampler(estimator: Estimator) -> Stage:
    offset = as_dense(estimator.random_offset_)
    size = len(offset)
    waves = Dense(as_dense(estimator.random_weights_), offset, "cosine")
    return Chain((waves, scaling(size, scale=np.sqrt(2 / size))))


register_transformer(
    Normalizer,
    "norm",
    "x / norm of x, l1, l2 or max",
    "a kink where entries are 0 (l1) or change places (max); a vector of norm below 10 eps is left as it is, as in "
    "scikit-learn: in float32 below 1.2e-6, where scikit-learn normalises the same vector in float64",
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

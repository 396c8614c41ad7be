"""Normalizer, power transforms and random Fourier features."""

import copy

import numpy as np
from sklearn.kernel_approximation import RBFSampler
from sklearn.preprocessing import Normalizer, PowerTransformer

from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.reducers import FAR, register_transformer, scaling
from pcacam_jax.scikit.registry import Estimator, as_dense, method_values
from pcacam_jax.stages.affine import Scaling
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.normalise import Normalise
from pcacam_jax.stages.power import Power

PROBES = 2.0 ** np.append(-(2.0 ** np.arange(-6, 9)), 2.0 ** np.arange(-6, 9))
"""Points, at least one of which has a large power, whatever the exponent."""


def _normalizer(estimator: Estimator) -> Stage:
    return Normalise(estimator.norm, int(estimator.n_features_in_))


def _power_transformer(estimator: Estimator) -> Stage:
    power = Power(as_dense(estimator.lambdas_), estimator.method)
    return Chain((power, _standardizing(estimator))) if estimator.standardize else power


def _standardizing(estimator: Estimator) -> Scaling:
    """Return the scaling (y - mean) / scale that follows the power.

    Mean and scale are private in scikit-learn, so they are computed from ``transform`` at two points. At the first the
    power is 0 for every exponent. The second is the point of ``PROBES`` with the largest power below ``FAR``, beside
    which the mean is negligible. Data points would not do, since their powers may all round to the same number.
    """
    zero, probes = (1.0, PROBES) if estimator.method == "box-cox" else (0.0, np.append(-PROBES, PROBES))
    size = estimator.n_features_in_
    points = np.tile(probes[:, None], size)
    with np.errstate(all="ignore"):
        powers = method_values(copy.copy(estimator).set_params(standardize=False).transform, points)
    largest = np.where(np.abs(powers) < FAR, np.abs(powers), 0).argmax(axis=0), np.arange(size)
    at_zero, at_largest = method_values(estimator.transform, np.stack([np.full(size, zero), points[largest]]))
    scale = (at_largest - at_zero) / powers[largest]
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
    "the derivative jumps where an entry is 0 (l1) or another entry becomes the largest (max); a vector with a norm "
    "below 10 eps is left unchanged, as in scikit-learn; 10 eps is 1.2e-6 in float32, so scikit-learn in float64 still "
    "normalises some vectors that a float32 stage leaves unchanged",
    _normalizer,
)
register_transformer(
    PowerTransformer,
    "elementwise",
    "Yeo-Johnson or Box-Cox power of every entry, then (y - mean) / scale",
    "Box-Cox needs positive entries; mean and scale are computed from values of `transform`",
    _power_transformer,
)
register_transformer(RBFSampler, "elementwise", "sqrt(2 / D) cos(W^T x + b)", "", _rbf_sampler)

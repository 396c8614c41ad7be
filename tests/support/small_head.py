"""A small head with curvature and two examples, for tests that are exponential in the number of cells."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax import hybrid_head

SMALL = np.abs(np.random.default_rng(3).normal(size=(2, 2, 3, 4)))


@functools.cache
def small_head():
    """A head with curvature, so that Shapley values depend on the order of the players."""
    with jax.enable_x64(True):
        return hybrid_head(small_dense(), maps_shape=(2, 3, 4), at=1, activation="tanh")


def small_dense():
    rng = np.random.default_rng(4)
    return [(rng.normal(size=(24, 5)) / 2, rng.normal(size=5)), (rng.normal(size=(5, 3)), rng.normal(size=3))]


def small_value(b, t):
    return lambda maps: float(small_head()(jnp.asarray(maps))["cnn"][t])

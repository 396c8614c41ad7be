"""Flattening, averaging and max-pooling of maps with one, two and three axes of space, against plain loops."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax import Chain, Flatten, GlobalAverage, InputError, MaxPool, jacobian
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.stages.flatten import spatial_mean

SHAPES = ((5, 3), (3, 4, 2), (3, 2, 5, 2))
every_rank = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{len(shape) - 1}d")


def drawn(shape):
    return np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype("float32")


def flattened(maps, order):
    *space, channels = maps.shape
    positions = list(np.ndindex(*space))
    if order == "channels_last":
        return np.array([maps[(*position, k)] for position in positions for k in range(channels)])
    return np.array([maps[(*position, k)] for k in range(channels) for position in positions])


def pooled(maps):
    """Return the maxima, and for each the place of the first one in row-major order."""
    *space, channels = maps.shape
    shape = (*(size // 2 for size in space), channels)
    places = {}
    for *corner, k in np.ndindex(*shape):
        window = [(*(2 * i + a for i, a in zip(corner, inner, strict=True)), k) for inner in corners(len(space))]
        places[(*corner, k)] = max(window, key=lambda place: maps[place])
    return np.array([maps[places[index]] for index in np.ndindex(*shape)]).reshape(shape), places


def corners(rank):
    return itertools.product((0, 1), repeat=rank)


def both_jacobians(stage, maps):
    return jax.jit(lambda x: (stage(x), jacobian(stage, x), jacobian(stage, x, backend="reverse")))(maps)


@every_rank
def test_flattening(shape):
    maps = drawn(shape)
    for order in ("channels_last", "channels_first"):
        stage = Flatten(shape, order)
        value, closed, reverse = both_jacobians(stage, maps)
        np.testing.assert_array_equal(value, flattened(maps, order))
        np.testing.assert_array_equal(closed, reverse)
        rows = np.stack([flattened(maps, order), flattened(maps**2, order)])
        space = tuple(range(1, len(shape)))
        np.testing.assert_allclose(stage.summed(rows), np.stack([maps, maps**2]).sum(axis=space), rtol=1e-6)


@every_rank
def test_averaging(shape):
    maps = drawn(shape)
    value, closed, reverse = both_jacobians(GlobalAverage(shape), maps)
    positions = list(np.ndindex(*shape[:-1]))
    np.testing.assert_allclose(value, sum(maps[position] for position in positions) / len(positions), rtol=1e-6)
    np.testing.assert_allclose(closed, reverse, rtol=1e-6)


@every_rank
def test_max_pooling(shape):
    for maps in (drawn(shape), np.floor(drawn(shape) / 7)):
        stage = MaxPool(shape)
        value, closed, reverse = both_jacobians(stage, maps)
        maxima, places = pooled(maps)
        np.testing.assert_array_equal(value, maxima)
        assert value.shape == stage.out_shape
        expected = np.zeros((*value.shape, *shape))
        for index, place in places.items():
            expected[(*index, *place)] = 1
        np.testing.assert_array_equal(closed, expected)
        np.testing.assert_array_equal(reverse, expected)


@every_rank
def test_the_mean_kernel_is_a_mean_over_positions(shape):
    maps = drawn(shape)
    kernels = np.random.default_rng(1).normal(size=(*shape, 3)).astype("float32")
    for order in ("channels_last", "channels_first"):
        kernel = np.stack([flattened(kernels[..., unit], order) for unit in range(3)], axis=1)
        mean = spatial_mean(jnp.asarray(kernel), Flatten(shape, order), maps.shape)
        assert relative_error(mean, kernels.mean(axis=tuple(range(len(shape) - 1)))) < 1e-6


def test_stages_of_volumes_form_a_chain():
    shape = (4, 2, 5, 3)
    pool = MaxPool(shape)
    chain = Chain((pool, Flatten(pool.out_shape)))
    x = drawn(shape)
    value, closed, reverse = both_jacobians(chain, x)
    assert value.shape == (2 * 1 * 2 * 3,)
    np.testing.assert_array_equal(closed, reverse)


def test_maps_of_another_shape_are_rejected():
    for stage in (Flatten((5, 3)), GlobalAverage((5, 3)), MaxPool((5, 3))):
        with pytest.raises(InputError, match=r"maps must have shape \(5, 3\); got \(5, 2\)"):
            stage(np.ones((5, 2)))
        with pytest.raises(InputError, match=r"write jax.vmap\(stage\) for a batch"):
            stage(np.ones((2, 5, 3)))

"""Operations on finished heatmaps: signs, the shared maximum, scale and size."""

import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax.cam import normalise, resize, shared_maximum
from pcacam_jax.cam.heatmap import split_signs


@pytest.fixture
def maps(dtype):
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), dtype)


def test_signs_are_split_exactly(maps):
    positive, negative = split_signs(maps)
    np.testing.assert_array_equal(positive - negative, maps)
    np.testing.assert_array_equal(positive, np.maximum(maps, 0))
    np.testing.assert_array_equal(negative, np.maximum(-maps, 0))


def test_both_signs_share_the_larger_maximum(maps):
    expected = np.abs(maps).max(axis=(-2, -1))
    np.testing.assert_array_equal(shared_maximum(*split_signs(maps)), expected)
    np.testing.assert_array_equal(shared_maximum(*split_signs(maps[0, 0])), expected[0, 0])


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_normalised_maps_have_maximum_one(maps, scale):
    normalised = normalise(maps * jnp.asarray(scale, maps.dtype))
    assert normalised.dtype == maps.dtype
    largest = np.abs(normalised).max(axis=(-2, -1))
    assert (largest <= 1).all()
    np.testing.assert_allclose(largest, 1, rtol=1e-6)
    np.testing.assert_allclose(normalised, maps / np.abs(maps).max(axis=(-2, -1), keepdims=True), rtol=1e-5)


def test_maps_of_zeros_stay_zero():
    np.testing.assert_array_equal(normalise(jnp.zeros((2, 3, 3))), 0)


def bilinear(picture, size):
    """Enlarge by interpolation between pixel centres; beyond the outer centres the value of the edge is repeated."""
    out = np.zeros(size)
    for place in np.ndindex(size):
        at = [np.clip((p + 0.5) * n / m - 0.5, 0, n - 1) for p, n, m in zip(place, picture.shape, size, strict=True)]
        for corner in np.ndindex(2, 2):
            near = [min(int(a) + c, n - 1) for a, c, n in zip(at, corner, picture.shape, strict=True)]
            weight = np.prod([a % 1 if c else 1 - a % 1 for a, c in zip(at, corner, strict=True)])
            out[place] += weight * picture[tuple(near)]
    return out


def test_resizing_is_bilinear(maps):
    resized = resize(maps, (9, 13))
    assert (resized.shape, resized.dtype) == ((2, 3, 9, 13), maps.dtype)
    np.testing.assert_allclose(resized[1, 2], bilinear(np.float64(maps[1, 2]), (9, 13)), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(resize(maps, (4, 5)), maps)
    np.testing.assert_allclose(resize(jnp.ones((3, 4)), (2, 2)), 1, rtol=1e-6)

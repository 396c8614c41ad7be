"""Metrics of heatmaps against loops written from their formulas, and their NaN where a metric is undefined."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.marks import more

from pcacam_jax.metrics import DOMINANT, contributions, correlation, cosine, shares

RNG = np.random.default_rng(0)
FLAT = np.full((3, 4), 0.1)


def loop_cosine(first, second):
    product = first_square = second_square = 0.0
    for a, b in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True):
        product += a * b
        first_square += a * a
        second_square += b * b
    return product / math.sqrt(first_square * second_square)


def loop_correlation(first, second):
    means = [sum(heat.ravel().tolist()) / heat.size for heat in (first, second)]
    return loop_cosine(first - means[0], second - means[1])


def loop_shares(weights, maps):
    sizes = []
    for weight, heat in zip(weights.tolist(), maps, strict=True):
        sizes.append(abs(weight) * math.sqrt(sum(value * value for value in heat.ravel().tolist())))
    return [size / sum(sizes) for size in sizes]


def pair(offset=0.0, relu=False):
    first, second = RNG.normal(size=(2, 5, 4)) + offset
    second = second + 0.7 * first
    return (np.maximum(first, 0), np.maximum(second, 0)) if relu else (first, second)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize(("measure", "oracle"), [(correlation, loop_correlation), (cosine, loop_cosine)])
def test_measures_are_their_formulas(measure, oracle, offset, relu, dtype):
    first, second = pair(offset, relu)
    value = measure(jnp.asarray(first, dtype), jnp.asarray(second, dtype))
    assert value.dtype == dtype
    assert abs(float(value) - oracle(first, second)) < 50 * np.finfo(dtype).eps


def test_numpy_agrees_too(x64):
    first, second = pair()
    assert abs(float(correlation(first, second)) - np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 1e-14


@pytest.mark.parametrize("measure", [correlation, cosine])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_scale_does_not_count_and_sign_does(measure, scale):
    first, second = (heat.astype(np.float32) for heat in pair())
    expected = float(measure(first, second))
    assert float(measure(jnp.asarray(first * np.float32(scale)), second)) == pytest.approx(expected, abs=1e-6)
    assert float(measure(first, jnp.asarray(-second * np.float32(scale)))) == pytest.approx(-expected, abs=1e-6)
    assert float(measure(first, first)) == pytest.approx(1, abs=1e-6)


def test_only_the_cosine_sees_the_level():
    first, second = (jnp.asarray(heat, jnp.float32) for heat in pair())
    assert float(correlation(first, second + 10)) == pytest.approx(float(correlation(first, second)), abs=1e-5)
    assert abs(float(cosine(first, second + 10)) - float(cosine(first, second))) > 0.1


@pytest.mark.parametrize("constant", [FLAT, -FLAT, 0 * FLAT, 1e-40 * FLAT])
def test_a_constant_map_correlates_with_nothing(constant, dtype):
    other = jnp.asarray(RNG.normal(size=(3, 4)), dtype)
    constant = jnp.asarray(constant, dtype)
    for partner in (other, constant):
        assert np.isnan(correlation(constant, partner))
        assert np.isnan(correlation(partner, constant))


def test_a_map_of_zeros_has_no_direction():
    zeros, other = jnp.zeros((3, 4)), jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)
    assert np.isnan(cosine(zeros, other))
    assert np.isnan(cosine(other, zeros))
    assert float(cosine(jnp.asarray(FLAT), jnp.asarray(FLAT))) == pytest.approx(1)


def test_measures_map_over_batches():
    first, second = RNG.normal(size=(2, 6, 5, 4))
    first[2] = 3.0
    values = jax.jit(jax.vmap(correlation))(first, second)
    assert values.shape == (6,)
    assert np.isnan(values).tolist() == [False, False, True, False, False, False]
    assert float(values[4]) == pytest.approx(loop_correlation(first[4], second[4]), abs=1e-6)


def test_shares_are_their_formula(dtype):
    weights, maps = RNG.normal(size=3), RNG.normal(size=(3, 5, 4))
    values = shares(jnp.asarray(weights, dtype), jnp.asarray(maps, dtype))
    np.testing.assert_allclose(values, loop_shares(weights, maps), rtol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_shares_survive_tiny_and_huge_parts(scale):
    weights, maps = RNG.normal(size=3).astype(np.float32), RNG.normal(size=(3, 5, 4)).astype(np.float32)
    values = shares(jnp.asarray(weights * np.float32(scale)), jnp.asarray(maps * np.float32(scale)))
    np.testing.assert_allclose(values, loop_shares(weights, maps), rtol=1e-5)


def test_a_single_part_is_everything_and_dominates():
    values = shares(jnp.asarray([0.0, -2.0, 0.0]), jnp.ones((3, 2, 2)))
    assert values.tolist() == [0, 1, 0]
    assert (values > DOMINANT).tolist() == [False, True, False]


def test_equal_parts_dominate_nothing():
    values = shares(jnp.asarray([1.0, -1.0]), jnp.ones((2, 2, 2)))
    assert not (values > DOMINANT).any()


@pytest.mark.parametrize(("weight", "level"), [(0.0, 1.0), (1.0, 0.0)])
def test_no_parts_have_no_shares(weight, level):
    values = shares(jnp.full(3, weight), jnp.full((3, 2, 2), level))
    assert np.isnan(values).all()
    assert not (values > DOMINANT).any()


def test_contributions_are_the_terms_of_the_mixture():
    weights, maps = RNG.normal(size=3), RNG.normal(size=(3, 5, 4))
    parts = contributions(jnp.asarray(weights), jnp.asarray(maps))
    for r in range(3):
        np.testing.assert_allclose(parts[r], weights[r] * maps[r], rtol=1e-6)


@pytest.mark.parametrize("space", [more((6,)), (2, 3, 4)])
def test_maps_may_have_one_or_three_axes(space, x64):
    first, second = RNG.normal(size=(2, *space))
    weights, maps = RNG.normal(size=3), RNG.normal(size=(3, *space))
    results = jax.jit(lambda: (correlation(first, second), cosine(first, second), shares(weights, maps)))()
    expected = loop_correlation(first, second), loop_cosine(first, second), loop_shares(weights, maps)
    for result, value in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, value, atol=1e-14)
    np.testing.assert_allclose(contributions(weights, maps)[1], weights[1] * maps[1], rtol=1e-14)

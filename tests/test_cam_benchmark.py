"""The measures of the benchmark equal those of the whole head, computed in loops."""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.marks import more

from pcacam_jax import hybrid_head

FOLDER = Path(__file__).parents[1] / "experiments"
SHAPE = (5, 4, 3)


@pytest.fixture(scope="module")
def measures():
    sys.path.insert(0, str(FOLDER))
    try:
        import cam_benchmark_measures
    finally:
        sys.path.remove(str(FOLDER))
    return cam_benchmark_measures


@functools.cache
def example(pool):
    rng = np.random.default_rng(0)
    size = {"max": 2 * 2 * 3, False: 5 * 4 * 3}[pool]
    layers = [(rng.normal(size=(size, 4)), rng.normal(size=4)), (rng.normal(size=(4, 2)), np.ones(2))]
    head = hybrid_head(layers, maps_shape=SHAPE, at=1, activation="sigmoid", pool=pool == "max")
    return head, np.abs(rng.normal(size=SHAPE))


@pytest.mark.parametrize("pool", ["max", more(False)])
def test_masked_values_are_those_of_masked_maps(measures, pool, x64):
    head, maps = example(pool)
    masks = np.random.default_rng(1).integers(0, 2, (30, *SHAPE[:2])).astype(float)
    fast = jax.jit(lambda m, masks: jax.vmap(lambda k: measures.masked_head(head, m).value(k, "cnn", 1))(masks))
    slow = jax.jit(jax.vmap(lambda m: head(m)["cnn"][1]))(maps * masks[..., None])
    np.testing.assert_allclose(fast(maps, masks), slow, rtol=1e-12)


def test_the_reference_leaves_out_one_cell_after_another_and_scores_are_in_units_of_the_spread(measures, x64):
    head, maps = example("max")
    cell = np.eye(20).reshape(20, 5, 4)
    value = jax.jit(jax.vmap(lambda m: head(m)["cnn"][1]))
    effects = value(maps[None])[0] - value(maps * (1 - cell)[..., None])
    targets = (("cnn", jnp.asarray(1)),)
    out = jax.jit(lambda m: measures.one_cell_out(head, m, targets))(maps)
    np.testing.assert_allclose(out[0].ravel(), effects, rtol=1e-10, atol=1e-14)

    signed = np.asarray(out)[None]
    run = jax.jit(lambda m, p, n, s: measures.scores(head, m, p, n, targets=targets, spreads=s, key=jax.random.key(0)))
    results, agreement = run(maps, np.maximum(signed, 0), np.maximum(-signed, 0), np.array([2.0]))
    order = np.argsort(-effects, kind="stable")
    expected = []
    for count in (1, 2, 4):  # 5, 10 and 20 % of 20 cells
        removed = [k for k in order[:count] if effects[k] > 0]
        mask = 1 - cell[removed].sum(axis=0)
        expected.append((value(maps[None])[0] - value(maps[None] * mask[..., None])[0]) / 2)
    np.testing.assert_allclose(results["positive"], [[np.mean(expected)]], rtol=1e-10)
    np.testing.assert_allclose(results["net positive"], results["positive"])
    assert set(results) == set(measures.MEASURES)
    assert agreement.shape == (1, 1, 1)


def test_resampled_means_weigh_datasets_equally_and_pair_the_columns(measures):
    rng = np.random.default_rng(0)
    small, large = rng.normal(1, 1, (40, 1)), rng.normal(3, 1, (160, 1))
    samples = measures.bootstrap_means([np.hstack([each, each + 0.5]) for each in (small, large)], resamples=4000)
    np.testing.assert_allclose(samples.mean(axis=0) - [0, 0.5], np.mean([small.mean(), large.mean()]), atol=0.01)
    np.testing.assert_allclose(samples[:, 1] - samples[:, 0], 0.5)
    error = np.hypot(small.std() / np.sqrt(40), large.std() / np.sqrt(160)) / 2
    assert samples[:, 0].std() == pytest.approx(error, rel=0.1)
    low, high = measures.interval(samples[:, 0])
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_equal_curves_have_no_area_between_them(measures):
    deleted = jnp.array([0.0, 1.0, 2.0])
    assert float(measures.area_between(deleted, deleted)) == 0
    assert float(measures.area_between(deleted, deleted + 3)) == 3

"""The measures of the benchmark equal those of the whole head, computed in loops."""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax import hybrid_head

FOLDER = Path(__file__).parents[1] / "experiments"
SHAPE = (5, 4, 3)
CELLS = np.eye(20).reshape(20, 5, 4)


@pytest.fixture(scope="module")
def measures():
    sys.path.insert(0, str(FOLDER))
    try:
        import cam_benchmark_measures
    finally:
        sys.path.remove(str(FOLDER))
    return cam_benchmark_measures


def example():
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(2 * 2 * 3, 4)), rng.normal(size=4)), (rng.normal(size=(4, 2)), np.ones(2))]
    return hybrid_head(layers, maps_shape=SHAPE, at=1, activation="sigmoid", pool=True), np.abs(rng.normal(size=SHAPE))


@functools.cache
def effects():
    """Return the values at masked maps as a function, and the effect of removing each cell."""
    head, maps = example()
    value = jax.jit(lambda masks: jax.vmap(lambda m: head(m)["cnn"][1])(maps * masks[..., None]))
    return value, np.asarray(value(np.ones((1, 5, 4))) - value(1 - CELLS))


def test_the_reference_leaves_out_one_cell_after_another(measures, x64):
    head, maps = example()
    out = jax.jit(lambda m: measures.one_cell_out(head, m, (("cnn", jnp.asarray(1)),)))(maps)
    np.testing.assert_allclose(out[0].ravel(), effects()[1], rtol=1e-10, atol=1e-14)


@pytest.mark.exhaustive
def test_scores_are_in_units_of_the_spread(measures, x64):
    (head, maps), (value, changes) = example(), effects()
    signed, targets = changes.reshape(1, 1, 5, 4), (("cnn", jnp.asarray(1)),)
    run = jax.jit(lambda m, p, n, s: measures.scores(head, m, p, n, targets=targets, spreads=s, key=jax.random.key(0)))
    results, agreement = run(maps, np.maximum(signed, 0), np.maximum(-signed, 0), np.array([2.0]))
    order = np.argsort(-changes, kind="stable")
    expected = []
    for count in (1, 2, 4):  # 5, 10 and 20 % of 20 cells
        mask = 1 - CELLS[[k for k in order[:count] if changes[k] > 0]].sum(axis=0)
        expected.append((value(np.ones((1, 5, 4)))[0] - value(mask[None])[0]) / 2)
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

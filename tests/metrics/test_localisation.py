"""Localisation and sparseness against cases computed by hand and loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.marks import more

from pcacam_jax import InputError, metrics

RNG = np.random.default_rng(0)
mass_inside, pointing_game, sparseness = (
    jax.jit(each) for each in (metrics.mass_inside, metrics.pointing_game, metrics.sparseness)
)
HEATMAP = np.array([[0.0, 3.0, 1.0], [-9.0, 0.0, 4.0]])
INSIDE = np.array([[True, True, False], [True, False, False]])


def loop_gini(values):
    """Half the mean difference of all pairs over the mean: another form of the Gini index."""
    sizes = [abs(value) for value in values.ravel().tolist()]
    differences = sum(abs(a - b) for a in sizes for b in sizes)
    return differences / (2 * len(sizes) * sum(sizes))


def test_localisation_by_hand():
    assert float(mass_inside(HEATMAP, INSIDE)) == pytest.approx(3 / 8)
    assert float(pointing_game(HEATMAP, INSIDE)) == 0
    assert float(pointing_game(HEATMAP, ~INSIDE)) == 1
    assert float(pointing_game(-HEATMAP, INSIDE)) == 1
    assert float(mass_inside(-HEATMAP, INSIDE)) == 1
    half = np.where(INSIDE, 0.5, 0)
    assert float(mass_inside(HEATMAP, half)) == pytest.approx(3 / 16)


def test_equal_maxima_share_the_point():
    heatmap = np.array([2.0, 2.0, 2.0, 0.0])
    assert float(pointing_game(heatmap, np.array([1, 0, 0, 1]))) == pytest.approx(1 / 3)
    for metric in (pointing_game, mass_inside):
        assert float(metric(np.full((2, 3), 5.0), INSIDE)) == pytest.approx(1 / 2)


@pytest.mark.parametrize("metric", [pointing_game, mass_inside])
@pytest.mark.parametrize("level", [0.0, -1.0])
def test_a_map_without_positive_values_points_nowhere(metric, level):
    assert float(metric(np.full((2, 3), level), np.ones((2, 3)))) == 0


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_a_map_does_not_count(scale):
    heatmap = jnp.asarray(HEATMAP, jnp.float32) * jnp.float32(scale)
    assert float(mass_inside(heatmap, INSIDE)) == pytest.approx(3 / 8)
    assert float(sparseness(heatmap)) == pytest.approx(loop_gini(HEATMAP), abs=1e-6)


def test_masks_of_another_size_or_range_are_rejected():
    for metric in (metrics.pointing_game, metrics.mass_inside):
        with pytest.raises(InputError) as caught:
            metric(HEATMAP, np.ones((224, 224)))
        assert str(caught.value) == "mask must have the shape of the heatmap, (2, 3); got (224, 224); resize the mask."
        with pytest.raises(InputError) as caught:
            metric(HEATMAP, 255 * INSIDE)
        assert str(caught.value) == "mask must hold values in 0..1; got 0 to 255; divide it by its maximum."


def test_sparseness_by_hand():
    assert float(sparseness(np.array([0.0, 0.0, -3.0, 0.0]))) == pytest.approx(3 / 4)
    assert float(sparseness(np.array([1.0, 3.0]))) == pytest.approx(1 / 4)
    for level in (0.0, 2.0, -2.0):
        assert float(sparseness(np.full((2, 2), level))) == 0
    assert float(sparseness(np.ones(1))) == 0


@pytest.mark.parametrize("space", [more((7,)), more((3, 4)), (2, 3, 2)])
def test_metrics_equal_loops(space, x64):
    heatmap, mask = RNG.normal(size=space), RNG.random(space)
    mass = total = 0.0
    for value, inside in zip(heatmap.ravel(), mask.ravel(), strict=True):
        mass += max(value, 0) * inside
        total += max(value, 0)
    assert float(mass_inside(heatmap, mask)) == pytest.approx(mass / total, abs=1e-14)
    assert float(pointing_game(heatmap, mask)) == pytest.approx(mask.ravel()[np.argmax(heatmap.ravel())], abs=1e-14)
    assert float(sparseness(heatmap)) == pytest.approx(loop_gini(heatmap), abs=1e-14)


def test_batches_and_masks_that_are_traced():
    heatmaps, masks = RNG.normal(size=(2, 5, 3, 2)), RNG.random((5, 3, 2)) > 0.5
    for metric in (pointing_game, mass_inside):
        values = jax.jit(jax.vmap(metric))(heatmaps[0], masks)
        np.testing.assert_allclose(
            values, [metric(heatmap, mask) for heatmap, mask in zip(heatmaps[0], masks, strict=True)], rtol=1e-6
        )

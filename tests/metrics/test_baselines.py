"""Maps that know nothing, and scores beside theirs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.marks import more

from pcacam_jax import InputError
from pcacam_jax.metrics import beside_baselines, centred_gaussian, drop, mass_inside, random_map

KEY = jax.random.key(0)


@pytest.mark.parametrize("space", [more((5,)), more((4, 3)), (2, 3, 4)])
def test_the_gaussian_is_its_formula(space):
    heatmap = np.asarray(jax.jit(lambda: centred_gaussian(space, width=0.3))())
    assert heatmap.shape == space
    for cell in np.ndindex(*space):
        exponent = sum(((i - (n - 1) / 2) / (0.3 * n)) ** 2 for i, n in zip(cell, space, strict=True))
        assert float(heatmap[cell]) == pytest.approx(np.exp(-exponent / 2), rel=1e-5)


def test_random_maps_are_signed_and_follow_the_key():
    first, again, other = (np.asarray(random_map(jax.random.key(seed), (40, 50))) for seed in (0, 0, 1))
    assert abs(first.mean()) < 0.1
    assert first.std() == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_scores_beside_baselines():
    """The score of random maps is the mean over the seeds; a faithful map is better than all baselines."""
    effects = np.zeros((4, 4), np.float32)
    effects[0, 0], effects[3, 3] = 3, -0.5

    @jax.jit
    def score(heatmap):
        return {"drop": drop(lambda mask: jnp.sum(mask * effects), heatmap)}

    scores = jax.jit(lambda heatmap: beside_baselines(score, heatmap, KEY, seeds=8))(effects)
    drops = [float(score(random_map(key, (4, 4)))["drop"]) for key in jax.random.split(KEY, 8)]
    assert abs(np.mean(drops)) > 0.1
    assert float(scores.random["drop"]) == pytest.approx(np.mean(drops), abs=1e-5)
    assert float(scores.centre["drop"]) == float(score(centred_gaussian((4, 4)))["drop"]) == 0
    assert float(scores.score["drop"]) == 3 > float(scores.random["drop"])


def test_baselines_map_over_examples():
    heatmaps = masks = np.eye(4).reshape(4, 2, 2)

    def scores(heatmap, mask):
        return beside_baselines(lambda heatmap: mass_inside(heatmap, mask), heatmap, KEY, seeds=2)

    results = jax.jit(jax.vmap(scores))(heatmaps, masks)
    assert results.score.tolist() == [1] * 4
    assert results.random.shape == results.centre.shape == (4,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random_map(KEY, (2, 0)), "each size of space must be an integer of at least 1; got 0."),
        (lambda: random_map(KEY, 3), "space must be a shape such as (14, 14); got int 3."),
        (lambda: centred_gaussian((1, 2, 3, 4)), "space must have one to three axes; got (1, 2, 3, 4)."),
        (lambda: centred_gaussian((3,), width=0), "width must be a number above 0; got 0."),
        (lambda: beside_baselines(None, np.ones(3), KEY), "score must be a function of a heatmap; got None."),
        (
            lambda: beside_baselines(jnp.sum, np.ones(3), KEY, seeds=0),
            "seeds must be an integer of at least 1; got 0.",
        ),
    ],
    ids=range(6),
)
def test_bad_input_is_rejected_with_a_sentence(call, message):
    with pytest.raises(InputError) as caught:
        jax.eval_shape(call)  # nothing is compiled
    assert str(caught.value) == message

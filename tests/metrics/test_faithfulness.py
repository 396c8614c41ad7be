"""Curves and drops against cases computed by hand and loops, for maps of one to three axes and both signs."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.marks import more

from pcacam_jax import InputError
from pcacam_jax.metrics import (
    area,
    average_drop,
    average_increase,
    deletion_curve,
    drop,
    insertion_curve,
    signed_drop,
)

RNG = np.random.default_rng(0)
EFFECTS = np.array([1.0, -2.0, 4.0, 0.5], np.float32)
SPACES = [more((7,)), (3, 4), more((2, 3, 2))]


def linear(mask):
    """A target of which every cell has a known effect; the baseline has the value -1."""
    return mask @ EFFECTS - 1


def smooth(mask):
    """A target that is not linear and changes its sign."""
    weights = jnp.linspace(-1, 2, mask.size).reshape(mask.shape)
    return jnp.tanh(jnp.sum(weights * mask)) - jnp.sum(mask * mask) / 20


def numpy_smooth(mask):
    weights = np.linspace(-1, 2, mask.size).reshape(mask.shape)
    return math.tanh((weights * mask).sum()) - (mask * mask).sum() / 20


def descending(heatmap):
    """The indices of the cells from the highest to the lowest, of equal cells the first one first."""
    flat = heatmap.ravel().tolist()
    return sorted(range(len(flat)), key=lambda cell: (-flat[cell], cell))


def loop_curve(heatmap, steps, start):
    order, values = descending(heatmap), []
    for step in range(steps + 1):
        mask = np.full(heatmap.size, 1.0 - start)
        mask[order[: math.floor(step * heatmap.size / steps + 0.5)]] = start
        values.append(numpy_smooth(mask.reshape(heatmap.shape)))
    return values


def loop_drop(heatmap, fractions):
    falls = []
    for fraction in fractions:
        mask = np.ones(heatmap.size)
        for cell in descending(heatmap)[: max(1, math.floor(fraction * heatmap.size + 0.5))]:
            if heatmap.ravel()[cell] > 0:
                mask[cell] = 0
        falls.append(numpy_smooth(np.ones(heatmap.shape)) - numpy_smooth(mask.reshape(heatmap.shape)))
    return sum(falls) / len(falls)


@jax.jit
def scores(heatmap):
    """All scores of a map of four cells for the linear target."""
    return {
        "deletion": deletion_curve(linear, heatmap),
        "deletion in 2": deletion_curve(linear, heatmap, steps=2),
        "insertion": insertion_curve(linear, heatmap),
        "insertion in 1": insertion_curve(linear, heatmap, steps=1),
        "drop": drop(linear, heatmap),
        "drop of 1 and 2": drop(linear, heatmap, fractions=[0.25, 0.5]),
        "drop of 0 and 4": drop(linear, heatmap, fractions=[0, 1]),
        "signed": jnp.stack(signed_drop(linear, heatmap, fractions=[0.5])),
        "average drop": average_drop(linear, heatmap, spread=4.0),
        "average increase": average_increase(linear, heatmap),
        # Evidence against: the target is negated, and so is the map.
        "average drop of -y": average_drop(lambda mask: -linear(mask), -heatmap),
        "average increase of -y": average_increase(lambda mask: -linear(mask), -heatmap),
    }


def scores_of(*heatmap):
    return {name: score.tolist() for name, score in scores(jnp.array(heatmap, jnp.float32)).items()}


def test_curves_by_hand():
    result = scores_of(1.0, -2.0, 4.0, 0.5)
    assert result["deletion"] == [2.5, -1.5, -2.5, -3.0, -1.0]
    assert result["insertion"] == [-1.0, 3.0, 4.0, 4.5, 2.5]
    assert result["deletion in 2"] == [2.5, -2.5, -1.0]
    assert result["insertion in 1"] == [-1.0, 2.5]


def test_cells_of_equal_value_are_ordered_by_their_index():
    for constant in (0.0, -1.0, 3.0):
        assert scores_of(*[constant] * 4)["deletion"] == [2.5, 1.5, 3.5, -0.5, -1.0]
    assert scores_of(0.0, -0.0, 1.0, 1.0)["deletion"] == [2.5, -1.5, -2.0, -3.0, -1.0]


def test_the_area_by_hand():
    assert float(area(np.array([2.0, 5.0, -1.0]))) == pytest.approx((0 + 3) / 4 + (3 - 3) / 4)
    assert float(area(np.array([-7.0, -7.0, -7.0]))) == 0
    assert float(area(np.array([-1.0, 0.0, 1.0]))) == pytest.approx(1.0)


def test_drops_by_hand():
    result = scores_of(1.0, -2.0, 4.0, 0.5)
    assert result["drop of 1 and 2"] == pytest.approx((4 + 5) / 2)
    assert result["drop"] == 4  # at least one cell is removed
    assert result["drop of 0 and 4"] == pytest.approx(5.5 / 2)  # -2 is no positive evidence
    assert result["signed"] == [5.0, -2.0]


def test_average_drop_and_increase_by_hand():
    result = scores_of(1.0, -2.0, 2.0, 0.0)  # the mask is 0.5, 0, 1, 0, with the value 3.5 instead of 2.5
    assert result["average drop"] == 0
    assert result["average increase"] == 1
    assert result["average drop of -y"] == 0
    assert result["average increase of -y"] == 1
    result = scores_of(9.0, 0.0, 0.0, 9.0)
    assert result["average drop"] == pytest.approx((2.5 - 0.5) / 4)
    assert result["average increase"] == 0
    assert scores_of(1.0, 1.0, 1.0, 1.0)["average increase"] == 0  # an equal value is no increase


@pytest.mark.parametrize("level", [0.0, -3.0])
def test_maps_without_positive_values_have_no_evidence(level):
    result = scores_of(*[level] * 4)
    assert result["drop"] == result["drop of 0 and 4"] == 0
    assert result["average drop"] == pytest.approx((2.5 + 1) / 4)
    assert result["average increase"] == 0


@pytest.mark.parametrize("space", SPACES)
def test_scores_equal_loops(space, x64):
    heatmap = RNG.integers(-3, 4, space).astype(float)  # with ties
    fractions = (0.1, 0.3, 0.6)
    results = jax.jit(
        lambda heatmap: (
            deletion_curve(smooth, heatmap, batch_size=3),
            insertion_curve(smooth, heatmap, steps=5),
            signed_drop(smooth, heatmap, fractions=fractions),
            average_drop(smooth, heatmap, spread=0.3),
            average_increase(smooth, heatmap),
        )
    )(heatmap)
    evidence = np.maximum(heatmap, 0) / max(heatmap.max(), 1)
    fall = numpy_smooth(np.ones(space)) - numpy_smooth(evidence)
    expected = (
        loop_curve(heatmap, heatmap.size, 0),
        loop_curve(heatmap, 5, 1),
        (loop_drop(heatmap, fractions), loop_drop(-heatmap, fractions)),
        max(fall, 0) / 0.3,
        float(fall < 0),
    )
    for result, value in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, value, atol=1e-12)


def test_the_exact_contributions_are_the_best_order():
    """Of all orders of the cells, that of the effects has the lowest deletion and the highest insertion curve."""
    orders = np.array([*itertools.permutations(range(4)), EFFECTS], np.float32)

    def curves(order):
        return deletion_curve(linear, order), insertion_curve(linear, order)

    deletions, insertions = map(np.asarray, jax.jit(jax.vmap(curves))(orders))
    assert (deletions[-1] <= deletions.min(0) + 1e-6).all()
    assert (insertions[-1] >= insertions.max(0) - 1e-6).all()
    areas = [float(area(curve)) for curve in deletions]
    assert areas[-1] < 0 < float(area(insertions[-1]))
    assert sum(value <= areas[-1] + 1e-6 for value in areas[:-1]) == 1
    for order, deletion in zip(orders[::5], deletions[::5], strict=True):
        np.testing.assert_allclose(deletion, scores(order)["deletion"], rtol=1e-6)


def test_evidence_for_and_against_are_scored_apart():
    positive, negative = scores(EFFECTS)["signed"]
    assert float(positive) > 0 > float(negative)
    positive, negative = scores(-EFFECTS)["signed"]
    assert float(positive) < 0 < float(negative)


HEATMAP = np.ones((2, 3))
BAD = [
    (lambda: deletion_curve(smooth, HEATMAP, steps=0), "steps must be an integer from 1 to 6; got 0."),
    (lambda: insertion_curve(smooth, HEATMAP, steps=7), "steps must be an integer from 1 to 6; got 7."),
    (lambda: insertion_curve(smooth, HEATMAP, steps=2.0), "steps must be an integer from 1 to 6; got 2.0."),
    (lambda: drop(smooth, HEATMAP, fractions=[0.1, 1.2]), "each of fractions must be a number in 0..1; got 1.2."),
    (lambda: drop(smooth, HEATMAP, fractions=0.1), "fractions must be a sequence of numbers in 0..1; got float 0.1."),
    (lambda: drop(smooth, HEATMAP, fractions=[]), "fractions must hold at least one number in 0..1; got none."),
    (lambda: drop(smooth, HEATMAP, batch_size=0), "batch_size must be an integer of at least 1; got 0."),
    (
        lambda: drop(lambda mask: mask, HEATMAP),
        "the function of the target must return a scalar; got the shape (2, 3).",
    ),
    (lambda: drop(3, HEATMAP), "the target must be a function that returns a scalar; got 3."),
    (
        lambda: drop(smooth, np.ones((2, 2, 2, 2))),
        "heatmap must be one map with one to three axes and at least one cell; got the shape (2, 2, 2, 2); write "
        "jax.vmap for a batch.",
    ),
    (
        lambda: average_drop(smooth, np.full(3, np.nan)),
        "heatmap must be finite, but 3 of 3 values are NaN or infinite, the first at index (0,); clean them before the "
        "call.",
    ),
    (
        lambda: average_drop(smooth, np.full(3, 1e300)),
        "heatmap must be finite, but 3 of 3 values are NaN or infinite, the first at index (0,); clean them before the "
        "call.",
    ),
    (lambda: average_drop(smooth, HEATMAP, spread=0), "spread must be a number above 0; got 0."),
    (lambda: average_drop(smooth, HEATMAP, spread=math.nan), "spread must be a number above 0; got nan."),
    (lambda: area([1.0]), "curve must be one curve of at least two values; got the shape (1,); use jax.vmap."),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=range(len(BAD)))
def test_bad_input_is_rejected_with_a_sentence(call, message):
    with pytest.raises(InputError) as caught:
        jax.eval_shape(call)  # nothing is compiled
    assert str(caught.value) == message


def test_shapes_are_checked_under_a_trace():
    with pytest.raises(InputError, match=r"^heatmap must be one map"):
        jax.jit(lambda heatmap: drop(smooth, heatmap))(np.ones((2, 2, 2, 2)))

"""Infidelity and sensitivity against cases computed by hand, loops, and their exact zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.marks import more

from pcacam_jax import InputError
from pcacam_jax.metrics import infidelity, max_sensitivity, random_masks

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
EFFECTS = np.array([1.0, -2.0, 4.0], np.float32)


def linear(mask):
    return mask @ EFFECTS - 1


@jax.jit
def errors(heatmap, masks):
    return jnp.stack([infidelity(linear, heatmap, masks, scaled=scaled) for scaled in (False, True)])


def curved(mask):
    return jnp.sum(mask**2 * jnp.arange(mask.size).reshape(mask.shape)) - 3


def loop_infidelity(heatmap, masks, scaled):
    predictions, changes = [], []
    for mask in masks:
        predictions.append(sum((1 - m) * a for m, a in zip(mask.ravel(), heatmap.ravel(), strict=True)))
        changes.append(sum((1 - m * m) * i for i, m in enumerate(mask.ravel())))
    beta = np.dot(predictions, changes) / np.dot(predictions, predictions) if scaled else 1
    return np.mean([(beta * p - c) ** 2 for p, c in zip(predictions, changes, strict=True)])


def test_infidelity_by_hand():
    masks = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.5]])  # the changes are 1 and -2 + 2 = 0
    heatmap = np.array([3.0, 1.0, 2.0])  # predicts 3 and 2
    beta = 3 / (9 + 4)
    expected = ((3 * beta - 1) ** 2 + (2 * beta) ** 2) / 2
    np.testing.assert_allclose(errors(heatmap, masks), [(2**2 + 2**2) / 2, expected], rtol=1e-6)
    np.testing.assert_allclose(errors(-7 * heatmap, masks)[1], expected, rtol=1e-6)


def test_exact_contributions_have_no_infidelity():
    masks = (RNG.random((2, 3)) > 0.5).astype(np.float32)
    masks[0, 1] = 0
    np.testing.assert_allclose(errors(jax.grad(linear)(np.ones(3, np.float32)), masks), 0, atol=1e-10)
    doubled = errors(2 * EFFECTS, masks)
    assert doubled[0] > 0.1
    assert doubled[1] < 1e-10


def test_a_map_of_zeros_predicts_no_change():
    masks = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    np.testing.assert_allclose(errors(np.zeros(3), masks), (1 + 4) / 2, rtol=1e-6)


@pytest.mark.parametrize("space", [more((7,)), (3, 4), more((2, 3, 2))])
def test_infidelity_equals_loops(space, x64):
    heatmap, masks = RNG.normal(size=space), RNG.random((6, *space))
    results = jax.jit(
        lambda heatmap: [infidelity(curved, heatmap, masks, scaled=scaled, batch_size=4) for scaled in (False, True)]
    )(heatmap)
    np.testing.assert_allclose(results, [loop_infidelity(heatmap, masks, scaled) for scaled in (False, True)])


def test_random_masks_remove_a_share():
    masks, again = (np.asarray(random_masks(KEY, (20, 10), samples=50, share=0.3)) for _ in range(2))
    assert masks.shape == (50, 20, 10)
    assert set(np.unique(masks)) == {0, 1}
    assert masks.mean() == pytest.approx(0.7, abs=0.02)
    np.testing.assert_array_equal(masks, again)


@jax.jit
def sensitivities(noise, scale, level):
    return jnp.stack(
        [
            max_sensitivity(lambda n: scale * (level * jnp.array([3.0, 4.0]) + n), noise),
            max_sensitivity(lambda n: jnp.full((2, 2), level), noise),
        ]
    )


def test_sensitivity_by_hand():
    noise = np.array([[0.0, 0.5], [2.0, 0.0], [-1.0, 0.0]], np.float32)
    for scale in (1.0, 1e-30):
        np.testing.assert_allclose(sensitivities(noise, scale, 1.0), [2 / 5, 0], rtol=1e-6)
    assert sensitivities(noise, 1.0, 0.0).tolist() == [np.inf, 0]  # a map of zeros that changes, and one that does not


def test_sensitivity_equals_loops(x64):
    noise = RNG.normal(size=(5, 4, 3))
    heatmap_of = lambda n: jnp.sin(1 + n)  # noqa: E731
    value = jax.jit(lambda noise: max_sensitivity(heatmap_of, noise, batch_size=2))(noise)
    clean = np.sin(np.ones((4, 3)))
    ratios = [np.sqrt(((np.sin(1 + n) - clean) ** 2).sum() / (clean**2).sum()) for n in noise]
    assert float(value) == pytest.approx(max(ratios), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: infidelity(linear, np.ones(3), np.ones((5, 4))),
            "masks must have the shape (n, 3), with the size of the heatmap; got (5, 4); use random_masks.",
        ),
        (lambda: random_masks(KEY, (3,), samples=0), "samples must be an integer of at least 1; got 0."),
        (lambda: random_masks(KEY, (3,), share=1.5), "share must be a number in 0..1; got 1.5."),
        (
            lambda: max_sensitivity(jnp.sin, np.ones((0, 2))),
            "noise must hold at least one sample, (n, ...); got the shape (0, 2).",
        ),
        (
            lambda: max_sensitivity(None, np.ones(2)),
            "heatmap_of must be a function that returns a map for noise; got None.",
        ),
    ],
    ids=range(5),
)
def test_bad_input_is_rejected_with_a_sentence(call, message):
    with pytest.raises(InputError) as caught:
        jax.eval_shape(call)  # nothing is compiled
    assert str(caught.value) == message

"""DeepLIFT contributions: equal to loops over the papers' formulas, and they add up."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from support import lift_oracle
from support.marks import more
from support.random_heads import random_head
from support.small_heads import small_head

from pcacam_jax import InputError, hybrid_head
from pcacam_jax.cam.lift import lift_contributions, lift_weights
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.head.targets import Selection, columns_of, parse_targets
from pcacam_jax.stages import relative_kernels

HEADS = {
    "sigmoid": {"kernels": ("rbf", "linear", "poly", "sigmoid")},
    "relu, pooled": {"activation": "relu", "pool": True, "scaled": True},
    "two classes, no PCA": {"activation": "relu", "classes": 2, "pca": None},
}
"""Settings of heads that the oracle has, too."""
OTHERS = {
    "averages, no layers": {"pool": "average", "layers": False},
    "rank 1, pooled": {"shape": (6, 4), "pool": True, "layers": False},
    "gelu, averages": {"activation": "gelu", "pool": "average"},
    "tanh, pooled, no PCA": {"activation": "tanh", "pool": True, "pca": None},
    "pooled, no layers": {"pool": True, "layers": False, "kernels": ("poly", "sigmoid")},
    "no layers": {"layers": False},
    "rank 3, pooled": {"shape": (4, 2, 3, 3), "pool": True},
    "rank 3, averages": {"shape": (4, 2, 3, 3), "pool": "average"},
    "rank 1": {"shape": (6, 4)},
}


@pytest.fixture(autouse=True)
def _in_float64(x64):
    return x64


def every_target(head, maps):
    """The names of all entries of all outputs, the last output first, and their selection."""
    targets = parse_targets(head, list(head.outputs)[::-1])
    selection = Selection(columns_of(head, maps, targets), tuple(target.output for target in targets))
    return [target.name for target in targets], selection


@functools.cache
def made(name):
    return small_head(**(HEADS | OTHERS)[name])


@jax.jit
def explained(head, maps, selection):
    """Contributions, weights, and the change y(F) - y(0) of each target."""
    change = selection.values(head(maps)) - selection.values(head(jnp.zeros_like(maps)))
    return lift_contributions(head, maps, selection), lift_weights(head, maps, selection), change


def check_sums(contributions, weights, change):
    sums = contributions.sum(axis=tuple(range(1, contributions.ndim - 1)))
    assert relative_error(sums.sum(axis=1), change) < 1e-10
    assert relative_error(weights, sums) < 1e-10


@pytest.mark.parametrize("name", [*[*HEADS][:2], *map(more, [*HEADS][2:])])
def test_contributions_equal_loops_and_add_up(name):
    head, maps, oracle = made(name)
    targets, selection = every_target(head, maps)
    contributions, weights, change = explained(head, maps, selection)
    for one, target in zip(contributions, targets, strict=True):
        assert relative_error(one, lift_oracle.contributions(oracle, target, np.asarray(maps))) < 1e-10
    check_sums(contributions, weights, change)


@pytest.mark.parametrize("name", ["rank 1, pooled", *(more(name) for name in OTHERS if name != "rank 1, pooled")])
def test_contributions_and_weights_add_up(name):
    head, maps, _ = made(name)
    contributions, weights, change = explained(head, maps, every_target(head, maps)[1])
    assert contributions.shape == (len(change), *maps.shape)
    check_sums(contributions, weights, change)


def test_behind_a_max_pool_contributions_of_maps_of_any_sign_add_up():
    head, maps, _ = made("relu, pooled")
    check_sums(*explained(head, maps - 0.7, every_target(head, maps)[1]))


@pytest.mark.parametrize("seed", [*map(more, range(6))])
def test_contributions_add_up_for_random_heads(seed):
    head, maps, settings = random_head(seed)
    head, maps = jax.tree.map(jnp.asarray, head), jnp.asarray(maps)
    contributions, weights, change = explained(head, maps, every_target(head, maps)[1])
    # Contributions that are much larger than their sum cancel. Support vectors cancel in the values, too.
    rounding = jnp.abs(explained(head, maps * (1 + 1e-15), every_target(head, maps)[1])[2] - change)
    size = jnp.maximum(jnp.abs(change), 1e-4 * jnp.abs(contributions).sum(axis=(1, 2, 3)))
    for total in (contributions.sum(axis=(1, 2, 3)), weights.sum(axis=1)):
        assert jnp.all(jnp.abs(total - change) <= 1e-10 * size + 10 * rounding), settings


def test_contributions_of_an_affine_head_are_the_gradient_times_the_maps():
    head, maps, _ = small_head(("linear",), activation="identity", seed=1)
    selection = every_target(head, maps)[1]
    gradients = jax.jit(jax.jacrev(lambda m: selection.values(head(m))))(maps)
    contributions, weights, _ = explained(head, maps, selection)
    assert relative_error(contributions, gradients * maps) < 1e-10
    assert relative_error(weights, jnp.einsum("tijk,ijk->tk", gradients, maps)) < 1e-10


def test_contributions_at_the_reference_are_zero():
    head, maps, _ = made("sigmoid")
    contributions, weights, _ = explained(head, jnp.zeros_like(maps), every_target(head, maps)[1])
    np.testing.assert_array_equal(contributions, 0)
    np.testing.assert_array_equal(weights, 0)


def selection_of(head, target):
    return Selection(jnp.array([0]), (target,))


@pytest.mark.parametrize(
    ("output", "normaliser", "message"),
    [
        (
            "proba",
            False,
            'no rule for Softmax; explain scores before .* output="decision", or use a method of',
        ),
        (
            "decision",
            True,
            'no rule for Normalise; use a method of gradients, such as method="hirescam"',
        ),
    ],
)
def test_stages_without_a_rule_are_rejected(output, normaliser, message):
    rng = np.random.default_rng(0)
    estimator = LogisticRegression()
    estimator = make_pipeline(Normalizer(), estimator) if normaliser else estimator
    svms = {"svm": estimator.fit(rng.normal(size=(30, 4)), np.arange(30) % 3)}
    head = hybrid_head([(rng.normal(size=(8, 4)), np.zeros(4))], maps_shape=(2, 2, 2), svms=svms, output=output, at=1)
    with pytest.raises(InputError, match=message):
        jax.eval_shape(lift_contributions, head, jnp.ones((2, 2, 2)), selection_of(head, "svm"))
    jax.eval_shape(lift_contributions, head, jnp.ones((2, 2, 2)), selection_of(head, "cnn"))


def test_relative_kernels_are_rejected():
    head, maps, _ = made("sigmoid")
    head = dataclasses.replace(head, svms=head.svms | {"rbf": relative_kernels(head.svms["rbf"])})
    with pytest.raises(InputError, match="use scale_free=False"):
        jax.eval_shape(lift_contributions, head, maps, selection_of(head, "rbf"))

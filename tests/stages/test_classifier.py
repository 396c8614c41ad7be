"""Class scores and predictions of Classifier: the rules, the voter, and the number of classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax import Affine, Chain, KernelExpansion, SVMClassifier, jacobian
from pcacam_jax.stages import Classifier, OvrDecision, Softmax

SCORES = Affine(jnp.eye(3), jnp.zeros(3), jnp.zeros(3))
SUM = Affine(jnp.ones((1, 3)), jnp.zeros(3), jnp.zeros(1))


@pytest.mark.parametrize(("scores", "expected"), [([1, 3, 2], 1), ([0, 0, 0], 0), ([-2, 5, 5], 1), ([-3, -2, -1], 2)])
def test_the_largest_score_is_predicted(scores, expected):
    classifier = Classifier(SCORES)
    assert int(jax.jit(classifier.predict)(jnp.asarray(scores, float))) == expected
    assert classifier.classes == 3


@pytest.mark.parametrize(("total", "expected"), [(-1e-20, 0), (0, 0), (1e-20, 1), (7, 1)])
def test_the_sign_rule_predicts_class_one_above_zero_only(total, expected):
    classifier = Classifier(SUM, "sign")
    x = jnp.array([0.0, total, 0.0])
    assert int(jax.jit(classifier.predict)(x)) == expected
    np.testing.assert_array_equal(classifier(x), [-x[1], x[1]])
    assert classifier.classes == 2
    np.testing.assert_array_equal(jacobian(classifier, x), [[-1, -1, -1], [1, 1, 1]])


@pytest.mark.parametrize("dtype_of_leaves", [np.float32, np.float64])
def test_the_number_of_classes_does_not_depend_on_the_dtype_of_the_leaves(dtype_of_leaves):
    affine = jax.tree.map(dtype_of_leaves, SCORES)
    assert Classifier(affine).classes == 3
    assert Classifier(Softmax(4)).classes == 4


def test_a_voter_replaces_the_rule_of_the_scores(dtype):
    # Each of the three classes has one vote, so the first is predicted; the third has the largest score.
    pairs = KernelExpansion(jnp.eye(3), jnp.eye(3), jnp.zeros(3), {}, "linear")
    pairs = jax.tree.map(lambda leaf: leaf.astype(dtype), pairs)
    x = jnp.array([1.0, -3.0, 1.0], dtype)
    classifier = Classifier(Chain((pairs, OvrDecision(3))), voter=SVMClassifier(pairs, 3))
    assert int(jnp.argmax(classifier(x))) == 2
    assert int(jax.jit(classifier.predict)(x)) == int(classifier.voter.predict(x)) == 0
    assert int(Classifier(classifier.scores).predict(x)) == 2
    np.testing.assert_array_equal(jacobian(classifier, x), jacobian(classifier.scores, x))

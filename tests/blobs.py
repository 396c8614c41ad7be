"""Labelled points around class centers, and how tests of the scikit-learn door compare with the estimator."""

import fits
import jax
import jax.numpy as jnp
import numpy as np
import parities

from pcacam_jax import Stage, from_sklearn
from pcacam_jax.scikit import outputs_of, scores_from_sklearn

TOLERANCE = 1e-10
NAMES = np.array(["wolf", "ant", "bear", "newt", "cat", "owl", "eel", "fox", "gnu", "yak"])
NUMBERS = np.array([40, -3, 7, 12, 5, 1, 100, 8, 9, 2])


def blobs(classes, seed=0, size=4, count=60):
    """Return count points of overlapping classes, and the class of each."""
    rng = np.random.default_rng(seed)
    which = np.arange(count) % classes
    return 1.2 * rng.normal(size=(classes, size))[which] + rng.normal(size=(count, size)), which


def values(stage, x):
    return np.asarray(jax.vmap(stage)(jnp.asarray(x)))


def assert_equals(stage, x, expected):
    """Compare a stage with scikit-learn's numbers, (n,) or (n, out)."""
    expected = np.asarray(expected).reshape(len(x), -1)
    assert isinstance(stage, Stage)
    found = values(stage, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * np.abs(expected).max())


def assert_predicts(estimator, x):
    """Compare the predictions of the estimator's class scores with its own, label by label."""
    scores = scores_from_sklearn(estimator)
    found = estimator.classes_[np.asarray(jax.vmap(scores.predict)(jnp.asarray(x)))]
    np.testing.assert_array_equal(found, estimator.predict(x))


def assert_any_fit(name, seed):
    """Compare every output of one random fit, with its derivative, and its prediction."""
    with jax.enable_x64(True):
        estimator, x = fits.drawn(name, seed)
        for output in outputs_of(estimator):
            stage = from_sklearn(estimator, output=output)
            found = parities.errors(stage, estimator, output, x, points=1)
            assert found.own <= TOLERANCE, output
            assert found.reverse <= TOLERANCE, output
            assert found.differences <= 1e-6, output
        if hasattr(estimator, "classes_") and outputs_of(estimator) != ("transform",):
            assert_predicts(estimator, x)

"""Labelled points around class centers, and how tests of the scikit-learn door compare with the estimator."""

import jax
import jax.numpy as jnp
import numpy as np
from support import fits, parities

from pcacam_jax import Stage, from_sklearn
from pcacam_jax.scikit import outputs_of, scores_from_sklearn
from pcacam_jax.stages import Classifier, SVMClassifier

TOLERANCE = 1e-10
NAMES = np.array(["wolf", "ant", "bear", "newt", "cat", "owl", "eel", "fox", "gnu", "yak"])
NUMBERS = np.array([40, -3, 7, 12, 5, 1, 100, 8, 9, 2])


def blobs(classes, seed=0, size=4, count=60):
    """Return count points of overlapping classes, and the class of each."""
    rng = np.random.default_rng(seed)
    which = np.arange(count) % classes
    return 1.2 * rng.normal(size=(classes, size))[which] + rng.normal(size=(count, size)), which


def separated(count=60):
    """Return count points of three separated classes in the plane, and the class of each."""
    which = np.arange(count) % 3
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    return centers[which] + np.random.default_rng(0).normal(size=(count, 2)), which


def around(x, count=200):
    """Return count points from among x to far outside."""
    random = np.random.default_rng(1)
    return x.mean(axis=0) + random.uniform(0, 20, size=(count, 1)) * random.normal(size=(count, x.shape[1]))


def values(stage, x):
    return np.asarray(jax.vmap(stage)(jnp.asarray(x)))


def assert_equals(stage, x, expected):
    """Compare a stage with scikit-learn's numbers, (n,) or (n, out)."""
    expected = np.asarray(expected).reshape(len(x), -1)
    assert isinstance(stage, Stage)
    found = values(stage, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * np.abs(expected).max())


def assert_probabilities(estimator, x, tolerance=TOLERANCE):
    """Compare proba and log_proba, in the dtype of x, with the estimator's predict_proba.

    Logarithms are compared where it is above 1e-200: of a sum near 1e-90 it has no digits left below.
    """
    proba = estimator.predict_proba(x.astype(np.float64))
    found = values(from_sklearn(estimator, output="proba", dtype=x.dtype), x)
    np.testing.assert_allclose(found, proba, rtol=0, atol=tolerance)
    logarithms = values(from_sklearn(estimator, output="log_proba", dtype=x.dtype), x)
    some = proba > 1e-200
    np.testing.assert_allclose(logarithms[some], np.log(proba[some]), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(np.exp(logarithms), found, rtol=0, atol=tolerance)


@jax.jit
def _predictions(scores, x):
    return jax.vmap(scores.predict)(x)


def assert_predicts(estimator, x):
    """Compare the predictions of the estimator's class scores with its own, label by label, in every score space."""
    spaces = [scores_from_sklearn(estimator, output=output) for output in outputs_of(estimator)]
    spaces = [scores for scores in spaces if isinstance(scores, Classifier | SVMClassifier)]
    assert spaces
    for scores in spaces:
        found = estimator.classes_[np.asarray(_predictions(scores, jnp.asarray(x)))]
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
            assert found.far <= TOLERANCE, output
        if hasattr(estimator, "classes_") and outputs_of(estimator) != ("transform",):
            assert_predicts(estimator, x)

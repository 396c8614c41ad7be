"""Labelled points around class centers, and comparisons of stages with scikit-learn estimators."""

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
    """Return points of overlapping classes, (count, size), and the class index of each."""
    rng = np.random.default_rng(seed)
    which = np.arange(count) % classes
    return 1.2 * rng.normal(size=(classes, size))[which] + rng.normal(size=(count, size)), which


def separated(count=60):
    """Return points of three separated classes in the plane, (count, 2), and the class index of each."""
    which = np.arange(count) % 3
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    return centers[which] + np.random.default_rng(0).normal(size=(count, 2)), which


def around(x, count=200):
    """Return points from the center of x to far outside, (count, d)."""
    random = np.random.default_rng(1)
    return x.mean(axis=0) + random.uniform(0, 20, size=(count, 1)) * random.normal(size=(count, x.shape[1]))


def values(stage, x):
    """Return the values of a stage at all points x, (n, out)."""
    return np.asarray(jax.vmap(stage)(jnp.asarray(x)))


def assert_equals(stage, x, expected):
    """Compare a stage with scikit-learn's numbers, (n,) or (n, out)."""
    expected = np.asarray(expected).reshape(len(x), -1)
    assert isinstance(stage, Stage)
    actual = values(stage, x)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE * np.abs(expected).max())


def assert_probabilities(estimator, x, tolerance=TOLERANCE):
    """Compare proba and log_proba, in the dtype of x, with the estimator's predict_proba.

    Logarithms are compared where predict_proba exceeds 1e-200. Smaller values may have lost their precision, since they
    are quotients with a sum of down to 1e-90.
    """
    expected = estimator.predict_proba(x.astype(np.float64))
    proba = values(from_sklearn(estimator, output="proba", dtype=x.dtype), x)
    np.testing.assert_allclose(proba, expected, rtol=0, atol=tolerance)
    log_proba = values(from_sklearn(estimator, output="log_proba", dtype=x.dtype), x)
    precise = expected > 1e-200
    np.testing.assert_allclose(log_proba[precise], np.log(expected[precise]), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(np.exp(log_proba), proba, rtol=0, atol=tolerance)


@jax.jit
def _predictions(scores, x):
    return jax.vmap(scores.predict)(x)


def assert_predicts(estimator, x):
    """Compare the predictions of the converted class scores with ``predict`` of the estimator, for every output."""
    spaces = [scores_from_sklearn(estimator, output=output) for output in outputs_of(estimator)]
    spaces = [scores for scores in spaces if isinstance(scores, Classifier | SVMClassifier)]
    assert spaces
    for scores in spaces:
        predicted = estimator.classes_[np.asarray(_predictions(scores, jnp.asarray(x)))]
        np.testing.assert_array_equal(predicted, estimator.predict(x))


def assert_any_fit(name, seed):
    """Compare every output of one random fit, the derivatives of the outputs, and the predictions."""
    with jax.enable_x64(True):
        estimator, x = fits.drawn(name, seed)
        for output in outputs_of(estimator):
            stage = from_sklearn(estimator, output=output)
            errors = parities.errors(stage, estimator, output, x, points=1)
            assert errors.values <= TOLERANCE, output
            assert errors.reverse <= TOLERANCE, output
            assert errors.differences <= 1e-6, output
            assert errors.far <= TOLERANCE, output
        if hasattr(estimator, "classes_") and outputs_of(estimator) != ("transform",):
            assert_predicts(estimator, x)

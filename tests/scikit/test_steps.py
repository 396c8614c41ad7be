"""Pipelines of imbalanced-learn, whose samplers change the training data only."""

import jax
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support.blobs import NAMES, blobs

from pcacam_jax import InputError, from_sklearn, hybrid_head, outputs_of
from pcacam_jax.scikit import scores_from_sklearn
from pcacam_jax.scikit.steps import is_identity, is_pipeline, last_step, steps_of

X, WHICH = blobs(3)


class Sampler(BaseEstimator):
    """A sampler as in imbalanced-learn, which repeats the examples of one class."""

    def fit(self, x, y):
        return self

    def fit_resample(self, x, y):
        more = np.concatenate([np.arange(len(y)), *[np.flatnonzero(y == y[0])] * 2])
        return x[more], y[more]


class SamplingPipeline(Pipeline):
    """A pipeline as in imbalanced-learn, which resamples in fit and skips samplers at prediction."""

    def fit(self, x, y):
        for _, step in self.steps[:-1]:
            if hasattr(step, "fit_resample"):
                x, y = step.fit_resample(x, y)
            else:
                x = step.fit(x, y).transform(x)
        self.steps[-1][1].fit(x, y)
        return self

    def decision_function(self, x):
        for _, step in self.steps[:-1]:
            x = x if hasattr(step, "fit_resample") else step.transform(x)
        return self.steps[-1][1].decision_function(x)


class CustomPipeline(BaseEstimator):
    """A pipeline with samplers that is not derived from scikit-learn's."""

    def __init__(self, steps):
        self.steps = steps


def steps():
    return [("scaler", StandardScaler()), ("sampler", Sampler()), ("pca", PCA(2)), ("svm", SVC())]


FITTED = SamplingPipeline(steps()).fit(X, NAMES[WHICH])


@pytest.mark.usefixtures("x64")
def test_samplers_do_nothing_at_prediction():
    stage = from_sklearn(FITTED)
    np.testing.assert_allclose(jax.vmap(stage)(X[:9]), FITTED.decision_function(X[:9]), rtol=1e-10)
    custom = CustomPipeline(FITTED.steps)
    np.testing.assert_array_equal(jax.vmap(from_sklearn(custom))(X[:9]), jax.vmap(stage)(X[:9]))
    nested = Pipeline([("outer", CustomPipeline(FITTED.steps[:2])), ("rest", Pipeline(FITTED.steps[2:]))])
    np.testing.assert_array_equal(jax.vmap(from_sklearn(nested))(X[:9]), jax.vmap(stage)(X[:9]))
    assert outputs_of(CustomPipeline(FITTED.steps[:2])) == ("transform",)
    predicted = jax.vmap(scores_from_sklearn(custom).predict)(X)
    assert (FITTED.steps[-1][1].classes_[predicted] == NAMES[WHICH]).mean() > 0.7


def test_a_head_takes_them_as_reducer_and_classifier():
    head = hybrid_head([], maps_shape=(1, 2, 2), svms={"svm": FITTED})
    assert head.outputs == {"pca": ("0", "1"), "svm": ("ant", "bear", "wolf")}


def test_steps_are_unpacked_without_samplers():
    assert [type(step).__name__ for step in steps_of(CustomPipeline(FITTED.steps))] == ["StandardScaler", "PCA", "SVC"]
    assert last_step(FITTED) is FITTED.steps[-1][1]
    assert is_identity(Sampler())
    assert is_identity(CustomPipeline([("sampler", Sampler())]))


def test_other_objects_with_steps_are_no_pipelines():
    assert not is_pipeline(SamplingPipeline)
    assert not is_pipeline(CustomPipeline([("scaler", StandardScaler())]))
    assert not is_pipeline(CustomPipeline("abc"))
    assert not is_pipeline(CustomPipeline([1, "ab"]))
    assert is_pipeline(make_pipeline(StandardScaler()))


def test_unfitted_steps_are_named():
    with pytest.raises(InputError, match="SVC is not fitted"):
        from_sklearn(CustomPipeline([*FITTED.steps[:-1], ("svm", SVC())]))
    with pytest.raises(InputError, match="CustomPipeline is not supported because it is not defined in scikit-learn"):
        from_sklearn(Pipeline([("custom", CustomPipeline(FITTED.steps[2:]))]))

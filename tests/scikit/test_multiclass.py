"""Classifiers of two-class machines equal scikit-learn's: one against the rest, one against one, frozen."""

import importlib

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from support import blobs
from support.blobs import NAMES, NUMBERS, assert_equals, assert_predicts

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import outputs_of, scores_from_sklearn

importlib.import_module("support.fits_kernels")
BASES = {
    "machine": (SVC(), ("decision",)),
    "linear": (LogisticRegression(), ("decision", "log_proba", "proba")),
    "pipeline": (make_pipeline(StandardScaler(), PCA(3), LinearSVC()), ("decision",)),
    "naive Bayes": (GaussianNB(), ("log_proba", "proba")),
}
every_base = pytest.mark.parametrize("name", BASES)
classes_and_labels = pytest.mark.parametrize(("classes", "labels"), [(2, NAMES), (3, NUMBERS), (5, NAMES)])


@pytest.mark.usefixtures("x64")
@classes_and_labels
@every_base
def test_one_against_the_rest(classes, labels, name):
    base, known = BASES[name]
    x, which = blobs.blobs(classes)
    estimator = OneVsRestClassifier(base).fit(x, labels[which])
    assert outputs_of(estimator) == known
    if "decision" in known:
        assert_equals(from_sklearn(estimator, output="decision"), x, estimator.decision_function(x))
    if "proba" in known:
        proba = estimator.predict_proba(x)
        assert_equals(from_sklearn(estimator, output="proba"), x, proba)
        assert_equals(from_sklearn(estimator, output="log_proba"), x, np.log(proba))
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_probabilities_of_far_points_where_every_machine_says_no(dtype):
    x, which = blobs.separated()
    estimator = OneVsRestClassifier(GaussianNB()).fit(x, which)
    far = blobs.around(x).astype(dtype)
    each = np.stack([machine.predict_proba(far)[:, 1] for machine in estimator.estimators_], axis=1)
    largest = each.max(axis=1)
    assert ((largest < 1e-16) & (largest > 1e-90)).sum() > 5
    blobs.assert_probabilities(estimator, far[largest > 1e-90], tolerance=1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.usefixtures("x64")
@classes_and_labels
@pytest.mark.parametrize("name", ["machine", "linear", "pipeline"])
def test_one_against_one(classes, labels, name):
    x, which = blobs.blobs(classes)
    estimator = OneVsOneClassifier(BASES[name][0]).fit(x, labels[which])
    assert outputs_of(estimator) == ("decision", "pairs")
    assert_equals(from_sklearn(estimator), x, estimator.decision_function(x))
    values = np.stack([machine.decision_function(x) for machine in estimator.estimators_], axis=1)
    assert_equals(from_sklearn(estimator, output="pairs"), x, values if classes == 2 else -values)
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("kind", [OneVsOneClassifier, OneVsRestClassifier])
def test_machines_that_cannot_decide_tie_as_scikit_learn_does(classes, kind):
    x, which = blobs.blobs(classes)
    estimator = kind(LinearSVC()).fit(x, NAMES[which])
    for machine in estimator.estimators_:
        machine.coef_, machine.intercept_ = np.zeros_like(machine.coef_), np.zeros_like(machine.intercept_)
    assert_equals(from_sklearn(estimator), x, estimator.decision_function(x))
    assert_predicts(estimator, x)


FOUR = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    "base", [SVC(gamma=1.0), make_pipeline(StandardScaler(), SVC(gamma=1.0)), LinearSVC()], ids=str
)
def test_a_machine_of_exactly_zero_votes_as_it_predicts(classes, base):
    estimator = OneVsOneClassifier(base).fit(FOUR[:classes], NAMES[:classes])
    for machine in estimator.estimators_:
        if isinstance(machine, LinearSVC):
            machine.coef_, machine.intercept_ = np.zeros_like(machine.coef_), np.zeros_like(machine.intercept_)
    x = np.array([[0.0, 0.0], [60.0, 60.0]])
    np.testing.assert_array_equal([machine.decision_function(x) for machine in estimator.estimators_], 0)
    assert_equals(from_sklearn(estimator), x, estimator.decision_function(x))
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
def test_a_machine_of_exactly_zero_inside_another():
    nested, x = OneVsOneClassifier(OneVsOneClassifier(SVC(gamma=1.0))).fit(FOUR, NAMES[:4]), np.array([[60.0, 60.0]])
    assert_equals(from_sklearn(nested), x, nested.decision_function(x))
    assert_predicts(nested, x)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_first_of_probabilities_that_round_to_the_same_is_predicted(dtype, scaled):
    random = np.random.default_rng(0)
    centers = 0.3 * random.normal(size=(4, 200))
    x = centers[np.arange(300) % 4] + random.normal(size=(300, 200))
    estimator = OneVsRestClassifier(GaussianNB())
    estimator = make_pipeline(StandardScaler(), estimator) if scaled else estimator
    estimator.fit(x, NAMES[np.arange(300) % 4])
    far = (10 * x).astype(dtype)
    machines, read = (estimator[-1], estimator[0].transform(far)) if scaled else (estimator, far)
    nobody = np.max([machine.predict_proba(read)[:, 1] for machine in machines.estimators_], axis=0) == 0
    assert nobody.sum() > 10
    with jax.enable_x64(dtype == "float64"):
        for output in (None, "proba"):
            scores = scores_from_sklearn(estimator, output=output)
            found = np.asarray(jax.vmap(scores.predict)(far))
            np.testing.assert_array_equal(estimator.classes_[found], estimator.predict(far))


@pytest.mark.usefixtures("x64")
def test_votes_outweigh_margins():
    x, which = blobs.blobs(5, seed=3)
    far = 3 * np.random.default_rng(0).normal(size=(500, 4))
    estimator = OneVsOneClassifier(SVC(kernel="linear", C=10)).fit(x, NAMES[which])
    assert_equals(from_sklearn(estimator), far, estimator.decision_function(far))
    assert_predicts(estimator, far)


@pytest.mark.usefixtures("x64")
def test_frozen_estimators_are_their_estimators():
    x, which = blobs.blobs(3)
    frozen = FrozenEstimator(SVC().fit(x, NAMES[which]))
    assert outputs_of(frozen) == ("decision", "pairs", "margin")
    assert_equals(from_sklearn(frozen), x, frozen.decision_function(x))
    reducer = make_pipeline(FrozenEstimator(PCA(2).fit(x)), LogisticRegression()).fit(x, which)
    assert_equals(from_sklearn(reducer), x, reducer.decision_function(x))


@settings(max_examples=3)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["OneVsRestClassifier", "OneVsOneClassifier"]))
def test_any_fit_equals_scikit_learn(seed, name):
    blobs.assert_any_fit(name, seed)


# --- refusals ---------------------------------------------------------------------------------------------------------

X, WHICH = blobs.blobs(3)
REFUSED = {
    "several labels": (
        OneVsRestClassifier(SVC()).fit(X, np.eye(3, dtype=int)[WHICH]),
        "fitted on several labels an example; convert its estimators_ one by one",
    ),
    "regressors against the rest": (
        OneVsRestClassifier(Ridge()).fit(X, WHICH),
        "takes classifiers with decision_function or predict_proba; got Ridge",
    ),
    "regressors against one": (OneVsOneClassifier(Ridge()).fit(X, WHICH), "classifiers with decision_.*; got Ridge"),
    "probabilities against one": (
        OneVsOneClassifier(GaussianNB()).fit(X, WHICH),
        "with decision_function, whose sign is their vote; got GaussianNB",
    ),
    "a kernel of their own": (
        OneVsRestClassifier(SVC(kernel=lambda a, b: a @ b.T)).fit(X, WHICH),
        "kernel of SVC must be one of",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_such_score_is_refused(name):
    estimator, sentence = REFUSED[name]
    with pytest.raises(InputError, match=sentence):
        from_sklearn(estimator)


def test_two_classes_have_one_decision_and_two_scores():
    x, which = blobs.blobs(2)
    for kind in (OneVsOneClassifier, OneVsRestClassifier):
        estimator = kind(LinearSVC()).fit(x, which)
        g = from_sklearn(estimator)(jnp.asarray(x[0], jnp.float32))
        scores = scores_from_sklearn(estimator)(jnp.asarray(x[0], jnp.float32))
        assert g.shape == (1,)
        np.testing.assert_array_equal(scores, np.concatenate([-g, g]))

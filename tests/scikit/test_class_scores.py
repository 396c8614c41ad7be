"""Class scores with the class that the estimator predicts."""

import importlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC
from support import fits, parities
from support.drawing import Draw

from pcacam_jax import InputError
from pcacam_jax.scikit import from_sklearn, outputs_of, scores_from_sklearn
from pcacam_jax.stages import Affine, Classifier, Elementwise, SVMClassifier

importlib.import_module("support.fits_kernels")
pytestmark = pytest.mark.usefixtures("x64")
DRAW = Draw(3)
X = DRAW.points(60, 3)
scores_and_classes = jax.jit(lambda stage, x: (jax.vmap(stage)(x), jax.vmap(stage.predict)(x)))
CLASSIFIERS = {
    "logistic": LogisticRegression(),
    "ridge": RidgeClassifier(),
    "linear SVM": LinearSVC(),
    "discriminant": LinearDiscriminantAnalysis(),
    "perceptron": MLPClassifier((3,), solver="lbfgs", max_iter=5000, alpha=1.0, random_state=0),
    "Gaussian": GaussianNB(),
    "pipeline": make_pipeline(StandardScaler(), PCA(2), LogisticRegression()),
    "SVC": SVC(gamma=2.0, break_ties=True),
    "pipeline with NuSVC": make_pipeline(StandardScaler(), NuSVC(nu=0.2)),
}


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_predicts_as_the_estimator(name, classes):
    estimator = CLASSIFIERS[name].fit(X, DRAW.labels(X, classes, "names"))
    stage = scores_from_sklearn(estimator)
    assert isinstance(stage, SVMClassifier if "SVC" in name else Classifier)
    x = X + 0.5 * np.random.default_rng(1).normal(size=X.shape)
    scores, which = scores_and_classes(stage, jnp.asarray(x))
    np.testing.assert_array_equal(estimator.classes_[which], estimator.predict(x))
    assert scores.shape == (60, classes)
    if hasattr(estimator, "decision_function") and isinstance(stage, Classifier):
        decision = estimator.decision_function(x)
        expected = np.stack([-decision, decision], axis=1) if classes == 2 else decision
        np.testing.assert_allclose(scores, expected, atol=1e-10)


def test_probabilities_predict_as_the_estimator():
    model = LogisticRegression().fit(X, DRAW.labels(X, 2, "numbers"))
    for output in ("proba", "log_proba"):
        stage = scores_from_sklearn(model, output=output)
        assert isinstance(stage, Classifier)
        scores, which = scores_and_classes(stage, jnp.asarray(X))
        np.testing.assert_array_equal(model.classes_[which], model.predict(X))
        np.testing.assert_allclose(scores, getattr(model, f"predict_{output}")(X), atol=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_one_vs_rest_predicts_by_decisions_for_every_output(classes):
    y = DRAW.labels(X, classes, "names")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        estimator = OneVsRestClassifier(SVC(probability=True, random_state=0)).fit(X, y)
    x = 2 * np.random.default_rng(0).normal(size=(400, 3))
    expected = estimator.predict(x)
    for output in ("decision", "log_proba", "proba"):
        scores, which = scores_and_classes(scores_from_sklearn(estimator, output=output), jnp.asarray(x))
        np.testing.assert_array_equal(estimator.classes_[which], expected)
    assert (scores.argmax(axis=1) != which).any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("log_proba", "expected"),
    [((-1e-20, -1e-25), 0), ((-1e-12, -1e-13), 1), ((-760, -750), 0), ((-740, -739), 1), ((-1e-20, -760), 0)],
)
def test_log_probabilities_are_compared_after_rounding_probabilities_to_float64(log_proba, expected, dtype):
    predicted = Classifier(Elementwise("identity", 2), "rounded").predict(jnp.array(log_proba, dtype))
    assert predicted == expected == np.exp(np.array(log_proba)).argmax()


def test_without_a_decision_function_scores_are_log_probabilities():
    model = GaussianNB().fit(X, DRAW.labels(X, 3))
    np.testing.assert_allclose(
        scores_from_sklearn(model)(jnp.asarray(X[0])), model.predict_log_proba(X[:1])[0], atol=1e-10
    )


def test_other_estimators_than_classifiers_give_their_stage():
    labels = DRAW.labels(X, 3)
    assert isinstance(scores_from_sklearn(PCA(2).fit(X)), Affine)
    assert isinstance(scores_from_sklearn(Ridge().fit(X, X[:, 0])), Affine)
    discriminant = LinearDiscriminantAnalysis().fit(X, labels)
    assert isinstance(scores_from_sklearn(discriminant, output="transform"), Affine)
    assert isinstance(scores_from_sklearn(discriminant), Classifier)


@pytest.mark.parametrize("break_ties", [False, True])
def test_an_svc_predicts_by_votes_for_every_output(break_ties):
    svc = SVC(gamma=5.0, C=10, break_ties=break_ties).fit(X, DRAW.labels(X, 4, "names"))
    x = 2 * np.random.default_rng(0).normal(size=(400, 3))
    assert isinstance(scores_from_sklearn(svc, output="margin"), SVMClassifier)
    stage = scores_from_sklearn(svc, output="decision")
    assert isinstance(stage, Classifier)
    scores, which = scores_and_classes(stage, jnp.asarray(x))
    np.testing.assert_allclose(scores, svc.decision_function(x), atol=1e-10)
    np.testing.assert_array_equal(svc.classes_[which], svc.predict(x))


def test_pairs_are_not_class_scores():
    svc = SVC(decision_function_shape="ovo").fit(X, DRAW.labels(X, 3))
    for output in ("pairs", "decision"):
        assert not isinstance(scores_from_sklearn(svc, output=output), Classifier | SVMClassifier)
    binary = SVC(decision_function_shape="ovo").fit(X, DRAW.labels(X, 2))
    assert scores_from_sklearn(binary, output="decision").rule == "sign"


@pytest.mark.parametrize("classes", [2, 3])
def test_one_vs_one_predicts_by_its_decision(classes):
    estimator = OneVsOneClassifier(LinearSVC()).fit(X, DRAW.labels(X, classes, "names"))
    stage = scores_from_sklearn(estimator)
    assert isinstance(stage, Classifier)
    which = scores_and_classes(stage, jnp.asarray(X))[1]
    np.testing.assert_array_equal(estimator.classes_[which], estimator.predict(X))


def test_an_unknown_output_raises():
    with pytest.raises(InputError, match="output of GaussianNB must be one of log_proba, proba; got 'decision'"):
        scores_from_sklearn(GaussianNB().fit(X, DRAW.labels(X, 3)), output="decision")


def test_scores_have_the_requested_dtype():
    model = LogisticRegression().fit(X, DRAW.labels(X, 3))
    for dtype in ("float32", "float64"):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(scores_from_sklearn(model, dtype=dtype))} == {dtype}
    svc = SVC().fit(X, DRAW.labels(X, 3))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(scores_from_sklearn(svc, dtype="float32"))} == {"float32"}


@pytest.mark.parametrize("name", [name for name in fits.classifiers() if name != "SGDClassifier"])
def test_scores_are_the_default_output(name):
    estimator, x = fits.drawn(name, 1)
    stage, classifier = from_sklearn(estimator), scores_from_sklearn(estimator)
    scores = np.asarray(jax.vmap(classifier)(jnp.asarray(x)))
    np.testing.assert_array_equal(scores[:, -1], np.asarray(jax.vmap(stage)(jnp.asarray(x)))[:, -1])


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", fits.FITS)
def test_default_outputs_far_outside_the_data_and_in_float32(name):
    estimator, near = fits.drawn(name, 1)
    far, output = parities.far_from(near), outputs_of(estimator)[0]
    for x, dtype, tolerance in ((far, "float64", 1e-10), (near, "float32", 1e-4)):
        x = x.astype(dtype)
        values = np.asarray(jax.jit(jax.vmap(from_sklearn(estimator, dtype=dtype)))(x))
        expected = parities.sklearn_output(estimator, output, x.astype(np.float64))
        assert values.dtype == dtype
        assert parities.gap(values, expected, output, relative=True) <= tolerance, dtype

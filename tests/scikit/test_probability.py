"""Calibrated probabilities equal scikit-learn: Platt's sigmoid, sigmoid calibration and temperature scaling."""

import itertools
import warnings

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.special import log_expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier
from support import blobs, fits
from support.blobs import NAMES, NUMBERS, assert_equals, assert_predicts
from support.fits_kernels import coupled, platt
from support.marks import more

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import outputs_of, scores_from_sklearn

DIFFERENCE_TO_PLATT = 0.006
"""A bound on the difference between the sigmoid and libsvm's coupling of two classes, which stops early."""


def fit_with_probability(svm, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return svm.set_params(probability=True, random_state=0).fit(x, y)


# --- Platt's sigmoid --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", [*range(4), *map(more, range(4, 12))])
@pytest.mark.parametrize("kind", [SVC, NuSVC])
def test_the_coupling_of_platts_sigmoids_equals_scikit_learn(seed, kind):
    x, which = blobs.blobs(2, seed, count=30 + 5 * seed)
    kernel, labels = ("linear", "rbf", "poly")[seed % 3], (NAMES, NUMBERS)[seed % 2]
    svm = fit_with_probability(kind(kernel=kernel), x, labels[which])
    points = np.concatenate([x, 4 * x])
    proba = blobs.values(from_sklearn(svm, output="proba"), points)
    np.testing.assert_allclose(coupled(proba), svm.predict_proba(points), rtol=0, atol=blobs.TOLERANCE)
    assert np.abs(proba - svm.predict_proba(points)).max() < DIFFERENCE_TO_PLATT
    log_proba = blobs.values(from_sklearn(svm, output="log_proba"), points)
    np.testing.assert_allclose(log_proba, log_expit(platt(svm, points)), rtol=1e-10, atol=1e-12)
    assert outputs_of(svm) == ("decision", "pairs", "margin", "log_proba", "proba")


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", [SVC, NuSVC])
def test_the_second_class_is_probable_where_the_decision_is_positive(kind):
    x, which = blobs.blobs(2, seed=1)
    svm = fit_with_probability(kind(), x, which)
    proba = blobs.values(from_sklearn(svm, output="proba"), x)
    decision = svm.decision_function(x)
    assert np.corrcoef(decision, proba[:, 1])[0, 1] > 0.9
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(np.sign(proba[:, 1] - proba[:, 0]), np.sign(svm.predict_proba(x) @ [-1, 1]))


@pytest.mark.usefixtures("x64")
def test_the_sigmoid_is_not_clipped_as_in_libsvm():
    x = np.linspace(-1, 1, 40)[:, None]
    svm = fit_with_probability(SVC(kernel="linear"), x, x[:, 0] > 0)
    far = np.array([[500.0], [-500.0]])
    np.testing.assert_array_equal(svm.predict_proba(far), svm.predict_proba(2 * far))
    log_proba = from_sklearn(svm, output="log_proba")
    assert blobs.values(log_proba, far).min() < np.log(1e-30)
    assert np.abs(blobs.values(jax.jacrev(log_proba), far)).max() > 1


@pytest.mark.usefixtures("x64")
def test_platt_in_a_pipeline_and_in_one_vs_rest():
    x, which = blobs.blobs(2)
    svm = fit_with_probability(SVC(), StandardScaler().fit_transform(x), which)
    pipeline = make_pipeline(StandardScaler().fit(x), svm)
    proba = blobs.values(from_sklearn(pipeline, output="proba"), x)
    np.testing.assert_allclose(coupled(proba), pipeline.predict_proba(x), rtol=0, atol=blobs.TOLERANCE)
    x, which = blobs.blobs(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        rest = OneVsRestClassifier(SVC(probability=True, random_state=0)).fit(x, which)
    proba = blobs.values(from_sklearn(rest, output="proba"), x)
    np.testing.assert_allclose(proba, rest.predict_proba(x), rtol=0, atol=DIFFERENCE_TO_PLATT)


def test_svms_without_probabilities():
    for classes, svm in ((3, SVC(probability=True)), (2, SVC(probability=False)), (2, SVC())):
        x, which = blobs.blobs(classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            svm.fit(x, which)
        assert outputs_of(svm) == ("decision", "pairs", "margin")
        with pytest.raises(InputError, match=r"(output|proba) of SVC"):
            from_sklearn(svm, output="proba")


@pytest.mark.parametrize("output", ["log_proba", "proba"])
@pytest.mark.parametrize("kind", [SVC, NuSVC])
def test_the_error_about_probabilities_of_more_than_two_classes_names_an_alternative(kind, output):
    x, which = blobs.blobs(3)
    svm = fit_with_probability(kind(), x, which)
    name = kind.__name__
    sentence = (
        rf"^{output} of {name} is supported with two classes only; got 3 classes.*iteration without a closed form"
    )
    for estimator in (svm, make_pipeline(StandardScaler().fit(x), svm), FrozenEstimator(svm)):
        with pytest.raises(InputError, match=rf'{sentence}.*V\({name}.*"sigmoid"'):
            scores_from_sklearn(estimator, output=output)


# --- calibration ------------------------------------------------------------------------------------------------------

BASES = {
    "SVC": SVC(),
    "linear": LinearSVC(),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "probabilities": GaussianNB(),
}


CALIBRATED = [
    (3, NUMBERS, True, "SVC", "sigmoid"),
    (2, NAMES, False, "pipeline", "sigmoid"),
    (3, NUMBERS, False, "probabilities", "sigmoid"),
    (2, NAMES, True, "linear", "temperature"),
    (5, NAMES, False, "SVC", "temperature"),
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("classes", "labels", "ensemble", "name", "method"),
    [
        case if case in CALIBRATED else more(*case)
        for labelled, *rest in itertools.product(
            [(2, NAMES), (3, NUMBERS), (5, NAMES)], [True, False], BASES, ["sigmoid", "temperature"]
        )
        for case in [(*labelled, *rest)]
    ],
)
def test_calibration(classes, labels, ensemble, name, method):
    x, which = blobs.blobs(classes, count=80)
    # Temperature scaling in scikit-learn uses integer labels as positions.
    y = which if method == "temperature" and labels is NUMBERS else labels[which]
    estimator = CalibratedClassifierCV(BASES[name], method=method, ensemble=ensemble, cv=3).fit(x, y)
    assert outputs_of(estimator) == ("log_proba", "proba")
    stage, proba = from_sklearn(estimator, output="proba"), estimator.predict_proba(x)
    assert_equals(stage, x, proba)
    assert_equals(from_sklearn(estimator), x, np.log(proba))
    np.testing.assert_allclose(blobs.values(stage, x).sum(axis=1), 1, rtol=1e-12)
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3])
def test_calibration_of_a_frozen_classifier(classes):
    x, which = blobs.blobs(classes)
    frozen = FrozenEstimator(SVC(kernel="poly", coef0=1.0).fit(x[:30], NAMES[which[:30]]))
    estimator = CalibratedClassifierCV(frozen).fit(x[30:], NAMES[which[30:]])
    assert len(estimator.calibrated_classifiers_) == 1
    assert_equals(from_sklearn(estimator, output="proba"), x, estimator.predict_proba(x))
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
def test_of_equal_probabilities_the_first_class_is_predicted():
    x, which = blobs.blobs(2)
    estimator = CalibratedClassifierCV(LinearSVC(), ensemble=False).fit(x, which)
    (fold,) = estimator.calibrated_classifiers_
    fold.calibrators[0].a_ = fold.calibrators[0].b_ = 0.0
    assert_equals(from_sklearn(estimator, output="proba"), x, np.full((len(x), 2), 0.5))
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["float64", more("float32")])
@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration_of_far_points_where_every_sigmoid_is_tiny(dtype, ensemble):
    x, which = blobs.separated()
    estimator = CalibratedClassifierCV(LinearSVC(), cv=3, ensemble=ensemble).fit(x, which)
    for fold in estimator.calibrated_classifiers_:
        for c, calibrator in enumerate(fold.calibrators):
            calibrator.a_, calibrator.b_ = -3.0 - c, 40.0
    far = blobs.around(x).astype(dtype)
    fold = estimator.calibrated_classifiers_[0]
    logits = fold.estimator.decision_function(far) * [3, 4, 5] - 40
    assert ((logits < -37) & (logits > -200)).all(axis=1).sum() > 5
    blobs.assert_probabilities(estimator, far[(logits > -200).any(axis=1)], 1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.exhaustive
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["SVC, probability", "CalibratedClassifierCV"]))
def test_any_fit_equals_scikit_learn(seed, name):
    blobs.assert_any_fit(name, seed)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", [0, 1, *map(more, range(2, 6))])
def test_the_coupling_of_any_fit_equals_scikit_learn(seed):
    svm, x = fits.drawn("SVC, probability", seed)
    proba = blobs.values(from_sklearn(svm, output="proba"), x)
    np.testing.assert_allclose(coupled(proba), svm.predict_proba(x), rtol=0, atol=blobs.TOLERANCE)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_unsupported_calibrations_raise():
    x, which = blobs.blobs(2)
    isotonic = CalibratedClassifierCV(LinearSVC(), method="isotonic").fit(x, which)
    with pytest.raises(
        InputError,
        match=r"must be one of sigmoid, temperature; got 'isotonic'.*piecewise",
    ):
        outputs_of(isotonic)
    trees = CalibratedClassifierCV(DecisionTreeClassifier()).fit(x, which)
    with pytest.raises(InputError, match="DecisionTreeClassifier"):
        from_sklearn(trees)


@pytest.mark.parametrize("classes", [2, 3, more(4)])
def test_pairs_are_calibrated_as_in_scikit_learn(classes, x64):
    x, which = blobs.blobs(classes)
    estimator = CalibratedClassifierCV(SVC(decision_function_shape="ovo"), cv=3).fit(x, NAMES[which])
    blobs.assert_probabilities(estimator, x)
    assert_predicts(estimator, x)


def test_temperature_scaling_needs_one_score_per_class():
    x, which = blobs.blobs(4)
    estimator = CalibratedClassifierCV(SVC(decision_function_shape="ovo"), method="temperature", cv=3).fit(x, which)
    with pytest.raises(ValueError, match="shape"):
        estimator.predict_proba(x)
    sentence = r'needs one score per class, but the decision has 6 values for 4 classes.*function_shape="ovr"'
    with pytest.raises(InputError, match=sentence):
        from_sklearn(estimator)


def test_a_fold_without_all_classes_raises():
    x, which = blobs.blobs(3)
    folds = PredefinedSplit(np.where(which == 2, 0, np.arange(len(x)) % 2))
    estimator = CalibratedClassifierCV(GaussianNB(), cv=folds).fit(x, which)
    sentence = r"a fold of CalibratedClassifierCV was fitted on 2 of 3 classes; .* stratified folds"
    with pytest.raises(InputError, match=sentence):
        from_sklearn(estimator)


@pytest.mark.parametrize("output", ["log_proba", more("proba")])
def test_the_closed_form_of_a_mean_over_folds(output):
    x, which = blobs.blobs(3)
    with jax.enable_x64(True):
        estimator = CalibratedClassifierCV(SVC(), cv=3).fit(x, which)
        stage = from_sklearn(estimator, output=output)
        point = jnp.asarray(x[0])
        closed = stage.jacobian(stage.forward(point)[1])
        np.testing.assert_allclose(closed, jax.jacrev(stage)(point), rtol=1e-10, atol=1e-14)
        weights = estimator.predict_proba(x[:1])[0] if output == "log_proba" else np.ones(3)
        np.testing.assert_allclose(weights @ closed, 0, atol=1e-14)

"""Warnings about estimators that need more digits than float32, and their absence for ordinary fits."""

import importlib
import warnings

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.decomposition import PCA, KernelPCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support import fits, parities

from pcacam_jax import explain, from_sklearn, hybrid_head
from pcacam_jax.scikit import PrecisionWarning, outputs_of, scores_from_sklearn, svm_classifier
from pcacam_jax.scikit.probes import COUNT, probe_points

importlib.import_module("support.fits_kernels")
RANDOM = np.random.default_rng(0)
MAPS = np.abs(RANDOM.normal(size=(200, 2, 2, 4))).astype(np.float32) * 30
MAPS[100:, :1] += 6
X = MAPS.reshape(200, -1).astype(np.float64)
Y = np.repeat(["neg", "pos"], 100)
Y[RANDOM.random(200) < 0.1] = "pos"
PCA_3 = PCA(3).fit(X)
V = PCA_3.transform(X)


def build(pca=PCA_3, **svms):
    return hybrid_head([], maps_shape=(2, 2, 4), pca=pca, svms=svms)


def svc(**options):
    with warnings.catch_warnings(action="ignore"):
        return SVC(**{"C": 1e6, "max_iter": 20_000, **options}).fit(V, Y)


def test_a_head_in_float32_says_that_its_predictions_are_not_the_estimators():
    model = svc(C=1e8, max_iter=200_000)
    with pytest.warns(PrecisionWarning, match=r"svm computes in float32.* svm:(neg|pos) differs .*jax_enable_x64"):
        head = build(svm=model)
    predicted = explain(head, MAPS, "svm:predicted").labels[:, 0]
    with jax.enable_x64(True):
        exact = explain(build(svm=model), MAPS, "svm:predicted").labels[:, 0]
    np.testing.assert_array_equal(exact, model.predict(V))
    assert (predicted != exact).any()


def near_duplicates():
    """Return data whose last principal component has a tiny variance."""
    x = X.copy()
    x[:, 1] = x[:, 0] * (1 + 1e-6 * RANDOM.normal(size=len(x)))
    return x


IMPRECISE = {
    "large C": (lambda: svc(), svm_classifier),
    "large C, scores": (lambda: svc(), scores_from_sklearn),
    "large C, decision": (lambda: svc(), from_sklearn),
    "whitened components": (lambda: PCA(whiten=True).fit(near_duplicates()), from_sklearn),
    "components of tiny variance": (lambda: PCA().fit(near_duplicates()), from_sklearn),
    "tiny eigenvalues": (lambda: KernelPCA(60, kernel="rbf", gamma=1e-7).fit(X), from_sklearn),
    "large mean": (lambda: StandardScaler().fit(1e4 + 1e-5 * X), from_sklearn),
    "scaler in a pipeline": (lambda: make_pipeline(StandardScaler(), SVC()).fit(1e4 + 1e-5 * X, Y), svm_classifier),
}


@pytest.mark.filterwarnings("ignore:Solver terminated early")
@pytest.mark.parametrize("name", IMPRECISE)
def test_estimators_that_need_more_digits_are_reported(name):
    fit, convert = IMPRECISE[name]
    model = fit()
    with pytest.warns(PrecisionWarning, match=r"computes in float32, which has too few digits for this estimator"):
        convert(model)
    with jax.enable_x64(True):
        convert(model)
        with pytest.warns(PrecisionWarning, match='convert it with dtype="float64"'):
            convert(model, dtype="float32")


def test_the_component_and_the_size_of_its_error_are_named():
    with pytest.warns(PrecisionWarning, match=r"pca computes.*: component 16 differs .* by [\d.e-]+ of its"):
        build(PCA(whiten=True).fit(near_duplicates()))


def test_dense_layers_in_float32_are_named_in_the_advice():
    layer = np.eye(16, dtype=np.float32), np.zeros(16, np.float32)
    with jax.enable_x64(True), pytest.warns(PrecisionWarning, match="; give the dense layers in float64"):
        hybrid_head([layer], maps_shape=(2, 2, 4), at=1, pca=PCA_3, svms={"svm": svc()})


def test_ordinary_heads_are_not_reported():
    build(PCA(10).fit(X))
    build(PCA().fit(X[:10]))  # its last component has no variance
    build(svm=SVC().fit(V, Y), linear=SVC(kernel="linear").fit(V, Y), hard=SVC(C=10, gamma=0.001).fit(V, Y))
    svm_classifier(SVC(kernel="linear").fit([[-1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]], [0, 0, 1, 1]))  # ties


def test_traced_parameters_are_not_compared():
    def value(kernel):
        head = hybrid_head([(kernel, np.zeros(16))], maps_shape=(2, 2, 4), at=1, pca=PCA_3, svms={"svm": svc()})
        return head(np.ones((2, 2, 4), np.float32))["svm"][0]

    assert np.isfinite(jax.jit(value)(np.eye(16, dtype=np.float32)))


def reports(seed, name):
    """Yield (whether the output was reported, its largest error in float32) for each output of a random fit."""
    estimator, _ = fits.drawn(name, seed)
    for output in outputs_of(estimator):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stage = from_sklearn(estimator, output=output)
        points = probe_points(estimator, stage.in_shape[0])
        expected = parities.sklearn_output(estimator, output, points)
        errors = np.abs(np.asarray(jax.vmap(stage)(np.float32(points))) - expected)
        sizes = np.sqrt(np.mean(expected**2, axis=0))
        yield bool(caught), float((errors / np.where(sizes > 0, sizes, 1)).max())


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["SVC", "NuSVC", "OneClassSVM", "SVR", "KernelPCA", "PCA", "LinearSVC", "Pipeline"])
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1))
def test_only_large_errors_of_random_fits_are_reported(name, seed):
    for reported, error in reports(seed, name):
        assert not reported or error > 1e-4


def test_probe_points_follow_the_data():
    scaled = make_pipeline(StandardScaler(), PCA(2), SVC()).fit(1000 + X, Y)
    for model in (scaled, PCA_3, SVC().fit(X, Y), StandardScaler().fit(X)):
        points = probe_points(model, 16)
        assert points.shape == (COUNT, 16)
        data = 1000 + X if model is scaled else X
        assert (points.mean(axis=0) > data.min(axis=0)).all()
        assert (points.mean(axis=0) < data.max(axis=0)).all()
    np.testing.assert_array_equal(probe_points(PCA_3, 16), probe_points(PCA_3, 16))

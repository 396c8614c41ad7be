"""Pipelines of reducers and a classifier in ``svms``, which also give the output "pca"."""

import jax
import numpy as np
import pytest
from sklearn.decomposition import PCA, IncrementalPCA, KernelPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from support.blobs import NAMES, blobs

from pcacam_jax import decompose, explain, from_sklearn, hybrid_head
from pcacam_jax.scikit import svm_classifier

X, WHICH = blobs(3)
MAPS = X.reshape(-1, 1, 1, 4)
LABELS = NAMES[WHICH]
SCALER, REDUCER = StandardScaler().fit(X), PCA(2).fit(StandardScaler().fit_transform(X))
V = REDUCER.transform(SCALER.transform(X))
SVM = make_pipeline(SCALER, REDUCER, StandardScaler().fit(V), SVC().fit(StandardScaler().fit_transform(V), LABELS))
OTHER = make_pipeline(SCALER, REDUCER, LogisticRegression().fit(V, LABELS))


def build(**svms):
    return hybrid_head([], maps_shape=(1, 1, 4), svms=svms)


@pytest.mark.usefixtures("x64")
def test_a_pipeline_of_reducer_and_classifier_becomes_both_outputs():
    head = build(svm=SVM)
    assert head.outputs == {"pca": ("0", "1"), "svm": ("ant", "bear", "wolf")}
    values = jax.vmap(head)(MAPS)
    np.testing.assert_allclose(values["pca"], V, atol=1e-12)
    np.testing.assert_allclose(values["svm"], jax.vmap(svm_classifier(SVM))(X), atol=1e-12)
    explanation = explain(head, MAPS[:3], ["svm:predicted", "pca"])
    assert (explanation.labels[:, 0] == SVM.predict(X[:3])).all()
    np.testing.assert_allclose(decompose(head, MAPS[:3], "svm:predicted").signed, explanation.signed[:, 0], atol=1e-12)
    np.testing.assert_allclose(head.shares, REDUCER.explained_variance_ratio_)


def test_pipelines_with_the_same_fitted_reducer_share_it():
    assert list(build(svm=SVM, other=OTHER).outputs) == ["pca", "svm", "other"]


WITHOUT_PCA = {
    "another reducer": {"svm": SVM, "other": make_pipeline(StandardScaler(), PCA(2), SVC()).fit(X, LABELS)},
    "another classifier without one": {"svm": SVM, "other": SVC().fit(X, LABELS)},
    "selection": {"svm": make_pipeline(SelectKBest(k=2), SVC()).fit(X, LABELS)},
    "kernel approximation": {"svm": make_pipeline(Nystroem(n_components=3), SVC()).fit(X, LABELS)},
    "scaler": {"svm": make_pipeline(StandardScaler(), SVC()).fit(X, LABELS)},
    "no pipeline": {"svm": LinearDiscriminantAnalysis().fit(X, LABELS)},
    "reducer as classifier": {"svm": make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()).fit(X, LABELS)},
}


@pytest.mark.parametrize("name", WITHOUT_PCA)
def test_other_estimators_read_x_m_as_before(name):
    head = build(**WITHOUT_PCA[name])
    assert head.pca is None
    assert list(head.outputs) == list(WITHOUT_PCA[name])


@pytest.mark.usefixtures("x64")
def test_the_last_reducer_ends_the_part_of_the_pca():
    model = make_pipeline(PCA(3), LinearDiscriminantAnalysis(), StandardScaler(), SVR()).fit(X, WHICH)
    head = build(svr=model)
    np.testing.assert_allclose(jax.vmap(head)(MAPS)["pca"], model[:2].transform(X), atol=1e-10)
    np.testing.assert_allclose(jax.vmap(head)(MAPS)["svr"][:, 0], model.predict(X), atol=1e-10)
    assert head.shares is None


def test_a_pca_that_is_given_reads_the_maps_and_pipelines_read_its_output():
    pca = PCA(3).fit(X)
    model = make_pipeline(PCA(2), SVC()).fit(pca.transform(X), LABELS)
    head = hybrid_head([], maps_shape=(1, 1, 4), pca=pca, svms={"svm": model})
    assert head.outputs["pca"] == ("0", "1", "2")


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("reducer", [make_pipeline(StandardScaler(), PCA(2)), SelectKBest(k=3), KernelPCA(2)])
def test_pca_takes_any_transformer(reducer):
    head = hybrid_head([], maps_shape=(1, 1, 4), pca=reducer.fit(X, WHICH))
    np.testing.assert_allclose(jax.vmap(head)(MAPS)["pca"], reducer.transform(X), atol=1e-10)
    np.testing.assert_array_equal(jax.vmap(head)(MAPS)["pca"], jax.vmap(from_sklearn(reducer))(X))


def test_shares_are_those_of_the_reducer():
    for pca in (PCA(2), IncrementalPCA(2), TruncatedSVD(2)):
        head = hybrid_head([], maps_shape=(1, 1, 4), pca=pca.fit(X))
        np.testing.assert_allclose(head.shares, pca.explained_variance_ratio_, rtol=1e-6)
        assert head.shares.dtype == head.dtype
    for pca in (KernelPCA(2).fit(X), LinearDiscriminantAnalysis().fit(X, WHICH)):
        assert hybrid_head([], maps_shape=(1, 1, 4), pca=pca).shares is None
    assert build(svm=SVC().fit(X, LABELS)).shares is None

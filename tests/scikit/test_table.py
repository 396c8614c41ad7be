"""The registry of estimators is complete and documented."""

import re

import pytest

from pcacam_jax.scikit import ENTRIES, from_sklearn, registry, table

EXPECTED = re.findall(
    r"\w+",
    """
    StandardScaler MinMaxScaler MaxAbsScaler RobustScaler PCA IncrementalPCA TruncatedSVD FastICA FactorAnalysis
    LinearDiscriminantAnalysis PLSRegression PLSSVD GaussianRandomProjection LinearSVC LinearSVR SGDClassifier
    LogisticRegression RidgeClassifier Ridge Perceptron SVC NuSVC SVR OneClassSVM KernelPCA Nystroem
    GaussianProcessRegressor QuadraticDiscriminantAnalysis GaussianNB PowerTransformer CalibratedClassifierCV RBFSampler
    Normalizer MLPClassifier MLPRegressor VarianceThreshold SelectKBest ColumnTransformer Pipeline FeatureUnion
    OneVsRestClassifier OneVsOneClassifier
    """,
)
OUTPUTS = {"decision", "pairs", "margin", "log_proba", "proba", "transform", "predict"}
DELEGATED = {"outputs of the last step", "outputs of the frozen estimator"}


def test_every_expected_estimator_is_registered():
    assert set(EXPECTED) <= {kind.__name__ for kind in ENTRIES}


def test_the_table_is_the_registry_with_every_family():
    assert table.ENTRIES is registry.ENTRIES
    assert all(kind is entry.kind for kind, entry in table.ENTRIES.items())
    assert {entry.stage for entry in table.ENTRIES.values()} == set(table.FAMILIES)
    assert len(set(table.FAMILIES)) == len(table.FAMILIES)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.kind.__name__)
def test_an_entry_is_complete(entry):
    assert isinstance(entry, registry.Entry)
    assert entry.formula
    assert entry.spaces
    assert set(entry.spaces) <= OUTPUTS | DELEGATED
    assert not entry.limits.endswith(".")
    cells = (entry.stage, entry.formula, *entry.spaces, entry.limits)
    assert all(cell == " ".join(cell.split()) for cell in cells), "a cell of a table is one line"


def test_the_docstring_of_from_sklearn_explains_every_output():
    assert all(f'"{output}"' in from_sklearn.__doc__ for output in OUTPUTS)

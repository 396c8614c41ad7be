"""The table of estimators: complete, and the README's own."""

import re
from pathlib import Path

import pytest

from pcacam_jax.scikit import ENTRIES, from_sklearn, table
from pcacam_jax.scikit.registry import Entry

README = Path(__file__).parents[2] / "README.md"
PROMISED = re.findall(
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
SPACES = {"decision", "pairs", "margin", "log_proba", "proba", "transform", "predict", "those of its last step"}


def test_every_estimator_is_there():
    assert set(PROMISED) <= {kind.__name__ for kind in ENTRIES}


def test_the_readme_holds_the_table_of_the_code():
    text = README.read_text()
    assert text.count("<!-- estimators -->") == text.count("<!-- /estimators -->") == 1
    shown = text.split("<!-- estimators -->")[1].split("<!-- /estimators -->")[0]
    assert shown.strip() == table.as_markdown()


def test_a_line_an_estimator_family_by_family():
    lines = table.as_markdown().splitlines()
    cells = [line.replace("\\|", "/").strip("| ").split(" | ") for line in lines[2:]]
    assert len(cells) == len(ENTRIES)
    assert {line.replace("\\|", "/").count("|") for line in lines} == {6}
    families = [table.FAMILIES.index(row[1]) for row in cells]
    assert families == sorted(families)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.kind.__name__)
def test_a_line_says_it_all(entry):
    assert isinstance(entry, Entry)
    assert entry.formula
    assert entry.spaces
    known = SPACES | {"those of its estimator"}
    assert set(entry.spaces) <= known
    assert not entry.limits.endswith(".")


def test_from_sklearn_names_every_score_space():
    documented = from_sklearn.__doc__
    assert all(f'"{space}"' in documented for space in SPACES if " " not in space)

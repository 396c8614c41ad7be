"""Pipelines, unions and column transformers."""

import copy
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from support import parities
from support.drawing import NAMES, Draw

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import outputs_of, parity, scores_from_sklearn, svm_classifier

pytestmark = pytest.mark.usefixtures("x64")
DRAW = Draw(0)
X = DRAW.points(60, 5)
Y = DRAW.labels(X, 3, "names")


def assert_is_scikit_learns(estimator, output, x=X[:6] * 1.1):
    found = parities.errors(from_sklearn(estimator, output=output), estimator, output or outputs_of(estimator)[0], x)
    assert max(found.own, found.reverse) <= 1e-10
    assert found.differences <= 1e-6


def test_a_pipeline_has_the_outputs_of_its_last_step():
    nested = make_pipeline(make_pipeline(StandardScaler(), "passthrough"), None, PCA(3), LogisticRegression())
    assert outputs_of(nested.fit(X, Y)) == ("decision", "log_proba", "proba")
    for output in (None, *outputs_of(nested)):
        assert_is_scikit_learns(nested, output)
    with pytest.raises(InputError, match="must be one of decision, log_proba, proba; got 'transform'"):
        from_sklearn(nested, output="transform")
    assert outputs_of(make_pipeline(PCA(2), Ridge()).fit(X, X[:, 0])) == ("predict",)


def test_a_step_that_both_transforms_and_decides():
    discriminant = LinearDiscriminantAnalysis()
    last = make_pipeline(StandardScaler(), discriminant).fit(X, Y)
    assert outputs_of(last)[0] == "decision"
    assert_is_scikit_learns(last, None)
    before = make_pipeline(LinearDiscriminantAnalysis(), StandardScaler()).fit(X, Y)
    assert_is_scikit_learns(before, None)
    nothing_after = make_pipeline(LinearDiscriminantAnalysis(), "passthrough").fit(X, Y)
    assert outputs_of(nothing_after) == ("transform",)
    assert_is_scikit_learns(nothing_after, None)


NOTHING = make_pipeline("passthrough")


def test_steps_that_do_nothing_are_left_out_however_deep():
    for deep in (NOTHING, make_pipeline(NOTHING, None), FunctionTransformer()):
        assert_is_scikit_learns(make_pipeline(deep, PCA(2)).fit(X), "transform")
        assert outputs_of(make_pipeline(LinearDiscriminantAnalysis(), deep).fit(X, Y)) == ("transform",)


def test_a_pipeline_that_does_nothing_is_the_identity_where_its_size_is_known():
    known = scores_from_sklearn(make_pipeline("passthrough", FunctionTransformer()).fit(X))
    np.testing.assert_array_equal(known(jnp.asarray(X[0])), X[0])
    assert_is_scikit_learns(FeatureUnion([("same", NOTHING), ("pca", PCA(2))]).fit(X), "transform")
    assert_is_scikit_learns(ColumnTransformer([("same", NOTHING, [2, 0])]).fit(X), "transform")
    with pytest.raises(InputError, match="Pipeline must have at least one step that is not 'passthrough'"):
        from_sklearn(make_pipeline(NOTHING).fit(X))
    assert_is_scikit_learns(make_pipeline(StandardScaler(with_mean=False, with_std=False)).fit(X), "transform")


def test_parity_of_an_svm_in_pipelines_and_frozen_estimators():
    svc = make_pipeline(PCA(3), SVC(gamma=0.3)).fit(StandardScaler().fit_transform(X), Y)
    whole = make_pipeline(StandardScaler(), svc).fit(X, Y)
    for nested in (whole, FrozenEstimator(whole), make_pipeline(StandardScaler(), FrozenEstimator(svc)).fit(X, Y)):
        assert parity(nested, svm_classifier(nested), X) < 1e-10
    assert parity(whole, svm_classifier(svc), X) > 0.1


@pytest.mark.parametrize("output", ["transform", "decision", "proba"])
def test_parity_of_any_output_is_with_its_own_method(output):
    model = LinearDiscriminantAnalysis().fit(X, Y)
    stage = from_sklearn(model, output=output)
    assert parity(model, stage, X, output=output) < 1e-10
    assert parity(model, from_sklearn(model), X) < 1e-10
    assert parity(model, jax.tree.map(lambda leaf: 1.5 * leaf, stage), X, output=output) > 0.1
    regressor = Ridge().fit(X, X[:, 0])
    assert parity(regressor, from_sklearn(regressor), X) < 1e-10
    assert parity(regressor, from_sklearn(model), X) == float("inf")
    with pytest.raises(InputError, match="Ridge has no method that gives 'votes'; compare"):
        parity(regressor, from_sklearn(regressor), X, output="votes")


def test_parity_where_all_values_are_zero():
    nothing = Ridge().fit(X, np.zeros(len(X)))
    stage = from_sklearn(nothing)
    assert parity(nothing, stage, X) == 0
    assert parity(nothing, jax.tree.map(lambda leaf: leaf + 1, stage), X) > 1e-3


def test_steps_that_do_not_fit_together_are_refused():
    wrong = Pipeline([("a", PCA(2).fit(X)), ("b", StandardScaler().fit(X))])
    with pytest.raises(InputError, match="step 2 of the Pipeline was fitted on 5 features, but step 1 gives 2"):
        from_sklearn(wrong)


def test_unions_drop_pass_and_weigh():
    parts = [("gone", "drop"), ("pca", PCA(2)), ("same", "passthrough"), ("both", LinearDiscriminantAnalysis())]
    for weights in (None, {"pca": 0.5, "same": -2.0}):
        assert_is_scikit_learns(FeatureUnion(parts, transformer_weights=weights).fit(X, Y), "transform")
    with pytest.raises(InputError, match="FeatureUnion must keep at least one transformer; every one is dropped"):
        from_sklearn(FeatureUnion([("gone", "drop")]).fit(X))


def test_a_union_asks_for_its_size_only_where_a_part_is_an_identity():
    hidden = Pipeline([("p", "passthrough"), ("s", StandardScaler())])
    for parts in ([("a", hidden)], [("same", NOTHING), ("a", hidden)], [("a", hidden), ("same", "passthrough")]):
        assert_is_scikit_learns(FeatureUnion(parts).fit(X), "transform")
    assert_is_scikit_learns(FeatureUnion([("same", "passthrough")]).fit(X), "transform")


COLUMNS = {
    "integers": [3, 1],
    "from the end": [-1, 0],
    "array": np.array([4]),
    "slice": slice(1, 4),
    "slice from the end": slice(None, -2),
    "booleans": [True, False, False, True, False],
    "callable": lambda x: [2],
}
REMAINDERS = ["drop", "passthrough", MinMaxScaler()]


@pytest.mark.parametrize(("name", "remainder"), list(zip(COLUMNS, itertools.cycle(REMAINDERS), strict=False)), ids=str)
def test_columns(name, remainder):
    columns = COLUMNS[name]
    parts = [("scaled", make_pipeline(StandardScaler(), PCA(1)), columns), ("no column", StandardScaler(), [])]
    transformer = ColumnTransformer([*parts, ("twice", "passthrough", [0])], remainder=remainder).fit(X)
    assert_is_scikit_learns(transformer, "transform")


def test_sparse_output_is_the_same_here():
    sparse = ColumnTransformer([("a", StandardScaler(), [0])], remainder="passthrough", sparse_threshold=1.0).fit(X)
    assert_is_scikit_learns(make_pipeline(sparse, LogisticRegression()).fit(X, Y), "decision")


BY_NAME = [
    ("d", [3]),
    (["c", "a"], [2, 0]),
    (np.array(["b"], dtype=object), [1]),
    (slice("b", "d"), [1, 2, 3]),
    (slice("c", None), [2, 3, 4]),
    (slice(None, "b"), [0, 1]),
]


def by_positions(positions):
    return ColumnTransformer([("scaled", StandardScaler(), positions)], remainder="passthrough").fit(X)


def on_a_table(transformer, columns):
    """What a fit on a table with columns a to e leaves, without a table."""
    named = copy.copy(transformer)
    named.feature_names_in_ = np.array(list("abcde"), dtype=object)
    (scaled, rest), names = transformer.transformers_, named.feature_names_in_
    named.transformers_ = [(*scaled[:2], columns), (*rest[:2], list(names[rest[2]]))]
    return named


@pytest.mark.parametrize(("columns", "positions"), BY_NAME, ids=str)
def test_columns_by_name(columns, positions):
    transformer = by_positions(positions)
    found = jax.vmap(from_sklearn(on_a_table(transformer, columns)))(jnp.asarray(X))
    np.testing.assert_allclose(found, transformer.transform(X), atol=1e-12)


@pytest.mark.parametrize("columns", [["a", "f"], "f", slice("a", "f")], ids=str)
def test_a_name_of_no_column_is_refused(columns):
    sentence = "a ColumnTransformer selects the column 'f', but has the columns a, b, c, d, e; fit it again"
    with pytest.raises(InputError, match=sentence):
        from_sklearn(on_a_table(by_positions([0, 1]), columns))
    unnamed = on_a_table(by_positions([0, 1]), columns)
    del unnamed.feature_names_in_
    with pytest.raises(InputError, match=r"selects the column .*, but has columns without names"):
        from_sklearn(unnamed)


def test_nothing_kept_is_refused():
    with pytest.raises(InputError, match="ColumnTransformer must keep at least one transformer"):
        from_sklearn(ColumnTransformer([("gone", "drop", [0])]).fit(X))


def test_a_function_inside_is_refused_and_none_is_passed_through():
    with pytest.raises(InputError, match="FunctionTransformer is not supported: it calls any Python function"):
        from_sklearn(ColumnTransformer([("function", FunctionTransformer(np.log1p), [0])]).fit(np.abs(X)))
    assert_is_scikit_learns(ColumnTransformer([("same", FunctionTransformer(), [1, 0])]).fit(X), "transform")


def test_a_composition_is_one_stage():
    union = FeatureUnion([("pca", PCA(2)), ("same", "passthrough")])
    model = make_pipeline(StandardScaler(), union, LogisticRegression()).fit(X, NAMES[np.arange(60) % 3])
    stage = from_sklearn(model, output="proba")
    found = jax.jit(lambda own, x: own(x))(stage, jnp.asarray(X[0]))
    np.testing.assert_allclose(found, model.predict_proba(X[:1])[0], rtol=1e-10)

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


def assert_equals_sklearn(estimator, output, x=X[:6] * 1.1):
    errors = parities.errors(from_sklearn(estimator, output=output), estimator, output or outputs_of(estimator)[0], x)
    assert max(errors.values, errors.reverse) <= 1e-10
    assert errors.differences <= 1e-6


def test_a_pipeline_has_the_outputs_of_its_last_step():
    nested = make_pipeline(make_pipeline(StandardScaler(), "passthrough"), None, PCA(3), LogisticRegression())
    assert outputs_of(nested.fit(X, Y)) == ("decision", "log_proba", "proba")
    for output in (None, *outputs_of(nested)):
        assert_equals_sklearn(nested, output)
    with pytest.raises(InputError, match="must be one of decision, log_proba, proba; got 'transform'"):
        from_sklearn(nested, output="transform")
    assert outputs_of(make_pipeline(PCA(2), Ridge()).fit(X, X[:, 0])) == ("predict",)


def test_a_step_that_both_transforms_and_decides():
    discriminant = LinearDiscriminantAnalysis()
    last = make_pipeline(StandardScaler(), discriminant).fit(X, Y)
    assert outputs_of(last)[0] == "decision"
    assert_equals_sklearn(last, None)
    first = make_pipeline(LinearDiscriminantAnalysis(), StandardScaler()).fit(X, Y)
    assert_equals_sklearn(first, None)
    before_identity = make_pipeline(LinearDiscriminantAnalysis(), "passthrough").fit(X, Y)
    assert outputs_of(before_identity) == ("transform",)
    assert_equals_sklearn(before_identity, None)


IDENTITY = make_pipeline("passthrough")


def test_identity_steps_are_left_out_at_any_depth():
    for identity in (IDENTITY, make_pipeline(IDENTITY, None), FunctionTransformer()):
        assert_equals_sklearn(make_pipeline(identity, PCA(2)).fit(X), "transform")
        assert outputs_of(make_pipeline(LinearDiscriminantAnalysis(), identity).fit(X, Y)) == ("transform",)


def test_a_pipeline_of_identities_is_supported_if_its_size_is_known():
    stage = scores_from_sklearn(make_pipeline("passthrough", FunctionTransformer()).fit(X))
    np.testing.assert_array_equal(stage(jnp.asarray(X[0])), X[0])
    assert_equals_sklearn(FeatureUnion([("same", IDENTITY), ("pca", PCA(2))]).fit(X), "transform")
    assert_equals_sklearn(ColumnTransformer([("same", IDENTITY, [2, 0])]).fit(X), "transform")
    with pytest.raises(InputError, match="Pipeline must have at least one step that is not 'passthrough'"):
        from_sklearn(make_pipeline(IDENTITY).fit(X))
    assert_equals_sklearn(make_pipeline(StandardScaler(with_mean=False, with_std=False)).fit(X), "transform")


def test_parity_of_an_svm_in_pipelines_and_frozen_estimators():
    svc = make_pipeline(PCA(3), SVC(gamma=0.3)).fit(StandardScaler().fit_transform(X), Y)
    whole = make_pipeline(StandardScaler(), svc).fit(X, Y)
    for nested in (whole, FrozenEstimator(whole), make_pipeline(StandardScaler(), FrozenEstimator(svc)).fit(X, Y)):
        assert parity(nested, svm_classifier(nested), X) < 1e-10
    assert parity(whole, svm_classifier(svc), X) > 0.1


@pytest.mark.parametrize("output", ["transform", "decision", "proba"])
def test_parity_compares_with_the_method_of_the_output(output):
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
    zero = Ridge().fit(X, np.zeros(len(X)))
    stage = from_sklearn(zero)
    assert parity(zero, stage, X) == 0
    assert parity(zero, jax.tree.map(lambda leaf: leaf + 1, stage), X) > 1e-3


def test_steps_of_different_sizes_raise():
    wrong = Pipeline([("a", PCA(2).fit(X)), ("b", StandardScaler().fit(X))])
    with pytest.raises(InputError, match="step 2 of the Pipeline was fitted on 5 features, but step 1 gives 2"):
        from_sklearn(wrong)


def test_unions_with_dropped_identical_and_weighted_parts():
    parts = [("dropped", "drop"), ("pca", PCA(2)), ("same", "passthrough"), ("both", LinearDiscriminantAnalysis())]
    for weights in (None, {"pca": 0.5, "same": -2.0}):
        assert_equals_sklearn(FeatureUnion(parts, transformer_weights=weights).fit(X, Y), "transform")
    with pytest.raises(InputError, match="FeatureUnion must have at least one transformer that is not dropped; got no"):
        from_sklearn(FeatureUnion([("dropped", "drop")]).fit(X))


def test_a_union_takes_its_size_from_any_part():
    pipeline = Pipeline([("p", "passthrough"), ("s", StandardScaler())])
    for parts in ([("a", pipeline)], [("same", IDENTITY), ("a", pipeline)], [("a", pipeline), ("same", "passthrough")]):
        assert_equals_sklearn(FeatureUnion(parts).fit(X), "transform")
    assert_equals_sklearn(FeatureUnion([("same", "passthrough")]).fit(X), "transform")


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
    assert_equals_sklearn(transformer, "transform")


def test_sparse_output_of_a_column_transformer():
    sparse = ColumnTransformer([("a", StandardScaler(), [0])], remainder="passthrough", sparse_threshold=1.0).fit(X)
    assert_equals_sklearn(make_pipeline(sparse, LogisticRegression()).fit(X, Y), "decision")


BY_NAME = [
    ("d", [3]),
    (["c", "a"], [2, 0]),
    (np.array(["b"], dtype=object), [1]),
    (slice("b", "d"), [1, 2, 3]),
    (slice("c", None), [2, 3, 4]),
    (slice(None, "b"), [0, 1]),
]


def with_positions(positions):
    return ColumnTransformer([("scaled", StandardScaler(), positions)], remainder="passthrough").fit(X)


def with_names(transformer, columns):
    """Return the transformer as a fit on a table with columns a to e would leave it."""
    named = copy.copy(transformer)
    named.feature_names_in_ = np.array(list("abcde"), dtype=object)
    (scaled, rest), names = transformer.transformers_, named.feature_names_in_
    named.transformers_ = [(*scaled[:2], columns), (*rest[:2], list(names[rest[2]]))]
    return named


@pytest.mark.parametrize(("columns", "positions"), BY_NAME, ids=str)
def test_columns_by_name(columns, positions):
    transformer = with_positions(positions)
    values = jax.vmap(from_sklearn(with_names(transformer, columns)))(jnp.asarray(X))
    np.testing.assert_allclose(values, transformer.transform(X), atol=1e-12)


@pytest.mark.parametrize("columns", [["a", "f"], "f", slice("a", "f")], ids=str)
def test_an_unknown_column_name_raises(columns):
    sentence = "the ColumnTransformer selects column 'f', but was fitted on the columns a, b, c, d, e; fit it again"
    with pytest.raises(InputError, match=sentence):
        from_sklearn(with_names(with_positions([0, 1]), columns))
    unnamed = with_names(with_positions([0, 1]), columns)
    del unnamed.feature_names_in_
    with pytest.raises(InputError, match=r"selects column .*, but was fitted on columns without names"):
        from_sklearn(unnamed)


def test_a_column_transformer_with_dropped_parts_only_raises():
    with pytest.raises(InputError, match="ColumnTransformer must have at least one transformer that is not dropped"):
        from_sklearn(ColumnTransformer([("dropped", "drop", [0])]).fit(X))


def test_a_function_transformer_is_supported_without_a_function_only():
    with pytest.raises(InputError, match="FunctionTransformer is not supported because it calls an arbitrary Python f"):
        from_sklearn(ColumnTransformer([("function", FunctionTransformer(np.log1p), [0])]).fit(np.abs(X)))
    assert_equals_sklearn(ColumnTransformer([("same", FunctionTransformer(), [1, 0])]).fit(X), "transform")


def test_a_composition_can_be_jitted_as_an_argument():
    union = FeatureUnion([("pca", PCA(2)), ("same", "passthrough")])
    model = make_pipeline(StandardScaler(), union, LogisticRegression()).fit(X, NAMES[np.arange(60) % 3])
    stage = from_sklearn(model, output="proba")
    proba = jax.jit(lambda stage, x: stage(x))(stage, jnp.asarray(X[0]))
    np.testing.assert_allclose(proba, model.predict_proba(X[:1])[0], rtol=1e-10)

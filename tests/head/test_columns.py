"""SVMs that read further columns behind the components, such as clinical values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from pcacam_jax import InputError, check_outputs, decompose, evidence, explain, hybrid_head, restore, save, verify

pytestmark = pytest.mark.usefixtures("x64")
RANDOM = np.random.default_rng(0)
MAPS = RANDOM.normal(size=(40, 2, 2, 3))
X = MAPS.reshape(40, -1)
PCA_3 = PCA(3).fit(X)
COLUMNS = np.column_stack([RANDOM.normal(size=40), np.arange(40) % 2])
BOTH = np.hstack([PCA_3.transform(X), COLUMNS])
LABELS = np.where(BOTH[:, 0] + 2 * BOTH[:, 4] + BOTH[:, 3] > 1, "ill", "well")
SVM = make_pipeline(StandardScaler(), SVC()).fit(BOTH, LABELS)
MODELS = {
    "svm": SVM,
    "logistic": LogisticRegression().fit(BOTH, LABELS),
    "age": SVR().fit(BOTH, BOTH[:, 0] + BOTH[:, 3]),
    "image": SVC().fit(BOTH[:, :3], LABELS),
}


def build(pca=PCA_3, **svms):
    return hybrid_head([], maps_shape=(2, 2, 3), pca=pca, svms=svms)


with jax.enable_x64(True):
    HEAD = build(**MODELS)


def slopes_of_decision(maps, row, step=1e-5):
    """Return central differences of scikit-learn's decision with respect to one example's maps, with fixed columns."""
    points = maps.reshape(1, -1) + step * np.concatenate([np.eye(maps.size), -np.eye(maps.size)])
    both = np.hstack([PCA_3.transform(points), np.tile(row, (len(points), 1))])
    above, below = SVM.decision_function(both).reshape(2, -1)
    return ((above - below) / (2 * step)).reshape(maps.shape)


def test_values_and_predictions_are_the_estimators():
    explanation = explain(
        HEAD, MAPS, ["svm:predicted", "age", "logistic:predicted", "image:predicted"], columns=COLUMNS
    )
    assert (explanation.labels[:, 0] == SVM.predict(BOTH)).all()
    assert (explanation.labels[:, 2] == MODELS["logistic"].predict(BOTH)).all()
    assert (explanation.labels[:, 3] == MODELS["image"].predict(BOTH[:, :3])).all()
    np.testing.assert_allclose(explanation.values[:, 0], np.abs(SVM.decision_function(BOTH)), atol=1e-12)
    np.testing.assert_allclose(explanation.values[:, 1], MODELS["age"].predict(BOTH), atol=1e-12)
    assert explanation.mixture["svm:predicted"].shape == (40, 3)


def test_the_maps_are_the_derivative_with_fixed_columns():
    explanation = explain(HEAD, MAPS[:3], "svm:well", columns=COLUMNS[:3])
    for maps, row, signed in zip(MAPS, COLUMNS, explanation.signed[:, 0], strict=False):
        slopes = slopes_of_decision(maps, row)
        np.testing.assert_allclose(signed, (maps * slopes).sum(axis=-1), atol=1e-8)


def test_terms_sum_to_the_map():
    whole = explain(HEAD, MAPS[:3], "svm:predicted", columns=COLUMNS[:3])
    for parts in (
        decompose(HEAD, MAPS[:3], "svm:predicted", columns=COLUMNS[:3]),
        evidence(HEAD, MAPS[:3], "svm:predicted", columns=COLUMNS[:3]),
    ):
        np.testing.assert_allclose(parts.signed, whole.signed[:, 0], atol=1e-12)
        np.testing.assert_array_equal(parts.labels, whole.labels[:, 0])


def test_equal_columns_are_computed_together_in_the_order_of_the_examples():
    columns = COLUMNS[[0, 1, 0, 2, 1]]
    together = explain(HEAD, MAPS[:5], ["pca", "svm:predicted"], columns=columns)
    for b in range(5):
        alone = explain(HEAD.with_columns(columns[b]), MAPS[b : b + 1], ["pca", "svm:predicted"])
        np.testing.assert_allclose(together.signed[b], alone.signed[0], atol=1e-14)
        assert (together.labels[b] == alone.labels[0]).all()
    assert isinstance(together.positive, jax.Array)


def test_outputs_are_checked_with_columns():
    expected = {"pca": BOTH[:, :3], "age": MODELS["age"].predict(BOTH)[:, None]}
    assert max(check_outputs(HEAD, MAPS, expected, columns=COLUMNS).values()) < 1e-12
    with pytest.raises(InputError, match=r"age by .*; causes are not searched with further columns"):
        check_outputs(HEAD, MAPS, expected, columns=COLUMNS[:, ::-1])


def test_a_head_of_one_row_is_verified_and_stored(tmp_path):
    head = build(svm=SVM)
    save(tmp_path / "head.safetensors", head)
    restored = restore(tmp_path / "head.safetensors")
    assert restored.columns == 2
    assert verify(restored.with_columns(COLUMNS[0]), jnp.asarray(MAPS[0]), witnesses=["reverse"]).passed
    assert HEAD.with_columns(COLUMNS[0]).columns == 0
    assert build(image=MODELS["image"]).columns == 0


def test_as_many_features_as_the_maps_have_are_said_to_be_columns():
    both = np.hstack([PCA_3.transform(X), RANDOM.normal(size=(40, 9))])
    head = hybrid_head([], maps_shape=(2, 2, 3), pca=PCA_3, svms={"svm": SVC().fit(both, LABELS)}, columns=9)
    assert head.columns == 9


REJECTED = {
    "missing": (
        lambda: explain(HEAD, MAPS, "svm:predicted"),
        r"2 further columns .* give them as columns=.*\(B, 2\)",
    ),
    "missing terms": (lambda: decompose(HEAD, MAPS, "svm:predicted"), "give them as columns="),
    "missing evidence": (lambda: evidence(HEAD, MAPS, "svm:predicted"), "give them as columns="),
    "missing outputs": (lambda: check_outputs(HEAD, MAPS, {"pca": BOTH[:, :3]}), "give them as columns="),
    "superfluous": (
        lambda: explain(build(svm=MODELS["image"]), MAPS, "svm:predicted", columns=COLUMNS),
        "no SVM of this head reads further columns; leave them out",
    ),
    "few": (lambda: explain(HEAD, MAPS, "svm:predicted", columns=COLUMNS[:3]), r"\(40, 2\), one row .* got \(3, 2\)"),
    "narrow": (lambda: explain(HEAD, MAPS, "svm:predicted", columns=COLUMNS[:, :1]), r"got \(40, 1\)"),
    "text": (lambda: explain(HEAD, MAPS, "svm:predicted", columns=[["a", "b"]] * 40), "columns must be an array"),
    "NaN": (lambda: explain(HEAD, MAPS, "svm:predicted", columns=COLUMNS * np.nan), "columns must be finite"),
    "a call": (lambda: HEAD(MAPS[0]), r"2 further columns; .*head.with_columns\(values\)"),
    "a prediction": (lambda: HEAD.predict(MAPS[0]), r"head.with_columns\(values\)"),
    "a row": (lambda: HEAD.with_columns([1.0]), r"must have shape \(2,\); got \(1,\)"),
    "different numbers": (
        lambda: build(svm=SVM, other=SVC().fit(BOTH[:, :4], LABELS)),
        "must read the same ones; got svm 2, other 1",
    ),
    "another number": (
        lambda: hybrid_head([], maps_shape=(2, 2, 3), pca=PCA_3, svms={"svm": SVM}, columns=3),
        r"svm was fitted on 5 features, but .* has 3; fit it on these 3 features\.",
    ),
    "no number": (
        lambda: hybrid_head([], maps_shape=(2, 2, 3), pca=PCA_3, columns="2"),
        "columns must be a number .*'2'",
    ),
    "fitted on the maps": (
        lambda: build(svm=SVC().fit(X, LABELS)),
        "svm was fitted on 12 features, but .* has 3.* say columns=9",
    ),
}


@pytest.mark.parametrize("name", REJECTED)
def test_columns_that_do_not_fit_are_rejected(name):
    call, sentence = REJECTED[name]
    with pytest.raises(InputError, match=sentence):
        call()


def test_a_bad_example_is_named_by_its_number_among_all():
    maps = MAPS.copy()
    maps[17, 1, 0, 2] = np.nan
    with pytest.raises(InputError, match=r"the first at index \(17, 1, 0, 2\)"):
        explain(HEAD, maps, "svm:predicted", columns=COLUMNS)


def test_heads_for_single_rows_do_not_warn_of_channels_again():
    with pytest.warns(UserWarning, match="channels came first"):
        head = hybrid_head([], maps_shape=(12, 1, 1), pca=PCA_3, svms={"svm": SVM})
    explain(head, MAPS[:4].reshape(4, 12, 1, 1), "svm:predicted", columns=COLUMNS[:4])  # warnings are errors

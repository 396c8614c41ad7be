"""What is said for and against a map: numbers against NumPy loops, and the words."""

import dataclasses
import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.svm import SVC
from support.marks import more

from pcacam_jax import InputError, explain, from_sklearn, hybrid_head
from pcacam_jax.cam.distance import FeatureStatistics, feature_statistics, reconstruction_error
from pcacam_jax.cam.methods import cam_method
from pcacam_jax.cam.trust import trust
from pcacam_jax.cam.trust_words import is_far
from pcacam_jax.core.numerics import relative_error

TARGETS = ["cnn:1", "pca:0", "svm:predicted"]
SPACE = (4, 5)


@pytest.fixture(autouse=True)
def _in_float64(x64):
    return x64


@functools.cache
def fitted():
    """A head, its training maps and what is known of them."""
    rng = np.random.default_rng(0)
    maps = np.abs(rng.normal(size=(60, *SPACE, 3)))
    layers = [(rng.normal(size=(60, 6)) / 4, rng.normal(size=6)), (rng.normal(size=(6, 2)), np.zeros(2))]
    x_m = np.maximum(maps.reshape(60, -1) @ layers[0][0] + layers[0][1], 0)
    pca = PCA(2).fit(x_m)
    v = pca.transform(x_m)
    svm = SVC().fit(v, np.arange(60) % 2)
    with jax.enable_x64(True):
        head = hybrid_head(layers, maps_shape=(*SPACE, 3), pca=pca, svms={"svm": svm}, at=1, activation="relu")
    distances = np.array([min(np.linalg.norm(v[i] - v[s]) for s in svm.support_ if s != i) for i in range(60)])
    residual = x_m - pca.inverse_transform(v)
    reference = SimpleNamespace(
        components=v,
        support={"svm": svm.support_},
        nearest_support={"svm": distances},
        reconstruction=np.linalg.norm(residual, axis=1),
        features=feature_statistics(maps.mean(axis=(1, 2)))._asdict(),
    )
    return head, maps, reference, x_m


@functools.cache
def trusted(method="hirescam"):
    with jax.enable_x64(True):
        head, maps, reference, _ = fitted()
        return trust(explain(head, maps[:3], TARGETS, method=method), head, maps[:3], reference)


def drop(value, heatmap, maps):
    """The mean loss without the 5, 10 and 20 % most positive cells, at least one, of positive value only."""
    falls = []
    for fraction in (0.05, 0.1, 0.2):
        count = max(1, round(fraction * heatmap.size))
        cells = [c for c in np.argsort(-heatmap.ravel(), kind="stable")[:count] if heatmap.ravel()[c] > 0]
        changed = maps.reshape(-1, maps.shape[-1]).copy()
        changed[cells] = 0
        falls.append(value(maps) - value(changed.reshape(maps.shape)))
    return np.mean(falls)


def test_drops_equal_loops_over_the_removed_cells():
    head, maps, _, _ = fitted()
    explained, result = explain(head, maps[:3], TARGETS, method="hirescam"), trusted()
    for b, t in np.ndindex(3, 3):
        output, column = TARGETS[t].partition(":")[0], int(explained.columns[b, t])
        value = lambda m, o=output, c=column: float(head(jnp.asarray(m))[o][c])  # noqa: E731
        signed = np.asarray(explained.signed[b, t])
        assert abs(result.drop[b, t] - drop(value, signed, maps[b])) < 1e-10
        assert abs(result.rise[b, t] + drop(value, -signed, maps[b])) < 1e-10
    assert result.drop.mean() > result.drop_random.mean()
    assert result.above_random.mean() > 0.8


def test_stability_and_agreement_are_mean_correlations():
    _, maps, _, _ = fitted()
    result, signed = trusted(), maps_of("hirescam", maps[:3])
    others = [maps_of(name, maps[:3]) for name in ("gradcam", "xgradcam")]
    noises = [np.asarray(jax.random.normal(key, maps[0].shape)) for key in jax.random.split(jax.random.key(0), 8)]
    changed = [maps_of("hirescam", maps[:3] * (1 + 0.1 * noise), columns_of=maps[:3]) for noise in noises]
    assert result.stability.shape == result.agreement.shape == (3, 3)
    for b, t in np.ndindex(3, 3):
        for got, compared in ((result.agreement, others), (result.stability, changed)):
            expected = np.mean([np.corrcoef(signed[b, t].ravel(), each[b, t].ravel())[0, 1] for each in compared])
            assert abs(got[b, t] - expected) < 1e-10


def maps_of(method, maps, columns_of=None):
    """The signed maps; the predicted classes are those of ``columns_of``."""
    head, _, _, _ = fitted()
    if columns_of is None:
        return np.asarray(explain(head, maps, TARGETS, method=method).signed)
    columns = explain(head, columns_of, TARGETS).columns
    names = ["cnn:1", "pca:0", "svm:0", "svm:1"]
    every = np.asarray(explain(head, maps, names, method=method).signed)
    return np.stack([every[b, [0, 1, 2 + int(columns[b, 2])]] for b in range(len(maps))])


@pytest.mark.parametrize("method", ["hirescam", more("liftcam"), more("shapcam")])
def test_completeness_of_an_affine_head_is_1(method):
    rng = np.random.default_rng(1)
    head = hybrid_head([(rng.normal(size=(60, 2)), rng.normal(size=2))], maps_shape=(*SPACE, 3), at=0)
    maps = np.abs(rng.normal(size=(2, *SPACE, 3)))
    result = trust(explain(head, maps, "cnn", method=method), head, maps)
    np.testing.assert_allclose(result.completeness, 1, rtol=1e-9)
    assert (result.stability > 0.9).all()
    assert result.reconstruction_percentile is None
    assert result.support_percentile is None


def test_the_distances_from_the_training_examples_are_percentiles():
    head, maps, reference, x_m = fitted()
    far = maps[:3].copy()
    far[2] = 40 * far[2]
    result = trust(explain(head, far, TARGETS, method="gradcam"), head, far, reference)
    errors = reference.reconstruction
    np.testing.assert_allclose(
        result.reconstruction_percentile[:2], [100 * np.mean(errors < e) for e in errors[:2]], atol=2
    )
    assert result.reconstruction_percentile[2] == 100
    assert result.completeness is None, "Grad-CAM does not add up to the value"
    assert is_far(result, 2)
    assert not is_far(result, 0) or errors[0] >= np.quantile(errors, 0.98)
    assert "of an image unlike the training images (the components miss more" in result.sentences()[2][0]
    v, means = reference.components, maps.mean(axis=(1, 2))
    scale = np.sqrt(means.var(axis=0) + 0.1 * means.var(axis=0).mean())
    distances = np.sqrt((((means - means.mean(axis=0)) / scale) ** 2).mean(axis=1))
    np.testing.assert_allclose(FeatureStatistics(**reference.features).distance, distances, rtol=1e-12)
    assert result.feature_percentile[2] == 100
    np.testing.assert_allclose(
        result.feature_percentile[:2], [100 * np.mean(distances < d) for d in distances[:2]], atol=2
    )
    for b in range(2):
        nearest = min(np.linalg.norm(v[b] - v[s]) for s in reference.support["svm"])
        expected = 100 * np.mean(reference.nearest_support["svm"] < nearest)
        assert abs(result.support_percentile["svm"][b] - expected) < 1e-9
    pca = from_sklearn(PCA(2, whiten=True).fit(x_m))
    expected = np.linalg.norm(
        (x_m[0] - x_m.mean(0)) - PCA(2).fit(x_m).components_.T @ PCA(2).fit(x_m).transform(x_m[:1])[0]
    )
    assert abs(float(reconstruction_error(pca, jnp.asarray(x_m[0]))) - expected) < 1e-10
    assert reconstruction_error(from_sklearn(PCA(6).fit(x_m)), jnp.asarray(x_m[0])) is None


def words(**changes):
    """The sentence of one map after changes of its numbers."""
    base = {
        "targets": ("svm:a",),
        "method": "hirescam",
        "vanished": np.array([[False]]),
        "completeness": None,
        "stability": np.array([[0.9]]),
        "agreement": np.array([[0.8]]),
        "drop": np.array([[0.5]]),
        "drop_random": np.array([[0.01]]),
        "drop_centre": np.array([[0.1]]),
        "above_random": np.array([[1.0]]),
        "rise": np.array([[0.4]]),
        "reconstruction_percentile": np.array([50.0]),
        "support_percentile": {"svm": np.array([50.0])},
        "feature_percentile": None,
    }
    return dataclasses.replace(trusted(), **{**base, **changes}).sentences()[0][0]


FAITHFUL = "faithful (the value falls by 0.5 without its strongest cells, by 0.01 without random ones)"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, f"The map is {FAITHFUL}"),
        ({"vanished": np.array([[True]])}, "The map has no meaning: the gradient underflowed"),
        ({"above_random": np.array([[0.6]])}, f"The map is hardly better than chance{FAITHFUL[8:]}"),
        ({"stability": np.array([[0.3]])}, f"The map is {FAITHFUL}; unstable under noise (correlation 0.30)"),
        (
            {"agreement": np.array([[-0.1]])},
            f"The map is {FAITHFUL}; unlike the maps of other methods (correlation -0.10)",
        ),
        ({"stability": np.array([[np.nan]])}, f"The map is {FAITHFUL}"),
        ({"drop": np.zeros((1, 1)), "rise": np.zeros((1, 1))}, "The map is empty"),
        ({"evidence": False}, "The map is no evidence, because this method does not depend on the target"),
        (
            {"feature_percentile": np.array([99.97])},
            "The map is of an image unlike the training images (its features are farther from their mean than those of "
            f"99.9 %); {FAITHFUL}",
        ),
        (
            {"support_percentile": {"svm": np.array([100.0]), "other": np.array([0.0])}},
            "The map is of an image unlike the training images (farther from the support vectors than 100 %); "
            + FAITHFUL,
        ),
        ({"support_percentile": {"other": np.array([100.0])}}, f"The map is {FAITHFUL}"),
    ],
)
def test_the_numbers_in_words(changes, sentence):
    assert words(**changes) == sentence


def test_a_map_that_vanished_is_said_to_have_no_meaning():
    head, maps, reference, _ = fitted()
    svm = head.svms["svm"]
    pairs = dataclasses.replace(svm.pairs, parameters={"gamma": jnp.asarray(1e9)})
    head = dataclasses.replace(head, svms={"svm": dataclasses.replace(svm, pairs=pairs)})
    explained = explain(head, maps[:3] * 1.01, TARGETS)
    sentences = trust(explained, head, maps[:3] * 1.01, reference).sentences()
    assert [row[2] for row in sentences] == ["The map has no meaning: the gradient underflowed"] * 3


def test_the_maps_under_noise_are_made_with_the_options_of_the_explanation():
    """A target_scale of 1000 is a logit divided by 1000."""
    rng = np.random.default_rng(3)
    hidden, last = (rng.normal(size=(60, 6)) / 4, rng.normal(size=6)), (rng.normal(size=(6, 2)), np.zeros(2))
    maps = np.abs(rng.normal(size=(3, *SPACE, 3)))
    divided = (last[0] / 1000, last[1])
    head, small = (
        hybrid_head([hidden, each], maps_shape=(*SPACE, 3), at=1, activation="tanh") for each in (last, divided)
    )
    explained = explain(head, maps, "cnn:1", method=cam_method("gradcam++", target_scale=1000))
    assert explained.options == (("target_scale", 1000.0),)
    stability = trust(explained, head, maps).stability
    expected = trust(explain(small, maps, "cnn:1", method="gradcam++"), small, maps).stability
    assert relative_error(stability, expected) < 1e-10
    other = trust(dataclasses.replace(explained, options=()), head, maps).stability
    assert relative_error(other, expected) > 1e-4


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda e, h, m: ("map", h, m), TypeError, "explanation must be an Explanation; got str"),
        (lambda e, h, m: (e, "head", m), TypeError, "head must be a HybridHead"),
        (lambda e, h, m: (e, h, m[:2]), InputError, "explanation must be one of these maps"),
        (lambda e, h, m: (e, h, m[::-1]), InputError, "its values differ from those of the head"),
        (
            lambda e, h, m: (dataclasses.replace(e, targets=("other:1", *e.targets[1:])), h, m),
            InputError,
            "explanation must be one of this head, which has cnn, pca, svm",
        ),
        (
            lambda e, h, m: (
                e,
                h,
                m,
                SimpleNamespace(
                    components=np.zeros((4, 9)), support={}, nearest_support={}, reconstruction=None, features=None
                ),
            ),
            InputError,
            "reference must be that of the head, with 2 components; got 9",
        ),
    ],
)
def test_bad_input_raises_one_sentence(change, error, sentence):
    head, maps, _, _ = fitted()
    with pytest.raises(error, match=sentence):
        trust(*change(explain(head, maps[:3], TARGETS), head, maps[:3]))

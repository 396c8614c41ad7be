import contextlib
import dataclasses
import warnings

import jax
import numpy as np
import pytest
import sklearn
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score
from sklearn.svm import SVC
from support.marks import more
from support.small_runs import CLASSES, in_place, pictures, small_config, small_dataset, without_certificate, x_m

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import Progress
from pcacam_jax.data import ArraySplit, Dataset
from pcacam_jax.fitting import estimators, training
from pcacam_jax.fitting import fit as module
from pcacam_jax.fitting.estimators import checked_parity, fit_pca, fix_signs
from pcacam_jax.fitting.fit import features_of, fit, fit_seeds, train_on
from pcacam_jax.reports import figures


@pytest.fixture
def quick_fit(small_world, monkeypatch):
    without_certificate(monkeypatch)
    return lambda **changes: fit(small_dataset(), small_config(**changes))


def test_the_pca_is_fitted_to_the_training_images_only(fitted):
    pca, expected = fitted.pca, PCA(3).fit(x_m(fitted, "train"))
    np.testing.assert_allclose(pca.mean_, expected.mean_, atol=1e-5)
    np.testing.assert_allclose(pca.explained_variance_ratio_, expected.explained_variance_ratio_, rtol=1e-3)
    alignment = np.abs(np.sum(pca.components_ * expected.components_, axis=1))
    np.testing.assert_allclose(alignment, 1, atol=1e-4)
    both = np.concatenate([x_m(fitted, "train"), x_m(fitted, "test")])
    assert not np.allclose(pca.mean_, both.mean(axis=0), atol=1e-5)


def test_the_largest_loading_of_every_component_is_positive(fitted):
    rows = np.arange(3)
    largest = np.abs(fitted.pca.components_).argmax(axis=1)
    assert (fitted.pca.components_[rows, largest] > 0).all()


def test_signs_do_not_depend_on_the_solver():
    x = np.random.default_rng(0).normal(size=(30, 4)) * [4, 3, 2, 1]
    flipped = PCA(3).fit(x)
    flipped.components_ = flipped.components_ * np.array([-1, 1, -1])[:, None]
    np.testing.assert_array_equal(fix_signs(flipped).components_, fix_signs(PCA(3).fit(x)).components_)


def test_pca_features_equal_scikit_learns(fitted):
    for part in ("train", "test"):
        expected = fitted.pca.transform(x_m(fitted, part))
        np.testing.assert_allclose(fitted.components[part], expected, atol=1e-5)


def test_metrics_equal_those_of_scikit_learns_predictions(fitted):
    for part, split in (("train", fitted.dataset.train), ("test", fitted.dataset.test)):
        v = fitted.pca.transform(x_m(fitted, part))
        for name, svm in fitted.svms.items():
            expected = f1_score(split.labels, svm.predict(v), average="macro")
            assert fitted.metrics["metrics"][name][f"{part}_f1"] == pytest.approx(expected, abs=1e-12)
    assert fitted.metrics["metrics"]["svm_rbf"]["support_vectors"] == len(fitted.svms["svm_rbf"].support_)


def test_the_metric_of_the_cnn_is_that_of_its_argmax(fitted):
    x = np.asarray(fitted.maps["test"]).reshape(24, -1)
    *hidden, (kernel, bias) = fitted.training.layers
    for w, b in hidden:
        x = jax.nn.sigmoid(x @ w + b)
    expected = f1_score(fitted.dataset.test.labels, np.argmax(x @ kernel + bias, axis=1), average="macro")
    assert fitted.metrics["metrics"]["cnn"]["test_f1"] == pytest.approx(expected)
    assert expected > 0.4  # it has learned something


def test_the_reported_metrics(fitted):
    assert fitted.metrics.keys() == {
        "class_names",
        "metrics",
        "class_scores",
        "gamma",
        "warnings",
        "warning_kinds",
        "explained_variance_ratio",
        "best_epoch",
        "images",
        "parity",
    }
    assert fitted.metrics["images"] == {"train": 60, "test": 24}
    assert max(fitted.metrics["parity"].values()) < 1e-12
    assert fitted.metrics["parity"].keys() == {"pca", "svm_linear", "svm_rbf"}
    assert fitted.timings.keys() == {"features", "training", "estimators", "verification"}
    assert fitted.certificate.passed
    assert fitted.head.outputs["cnn"] == fitted.head.outputs["svm_rbf"] == CLASSES


@pytest.mark.exhaustive
def test_the_svms_have_the_cost_and_gamma_of_the_configuration(quick_fit):
    fitted = quick_fit(cost=0.3, gamma=2.5)
    v = fitted.pca.transform(x_m(fitted, "train"))
    for kernel in ("linear", "rbf"):
        svm = fitted.svms[f"svm_{kernel}"]
        expected = SVC(C=0.3, gamma=2.5, kernel=kernel).fit(v, fitted.dataset.train.labels)
        assert (svm.C, svm.gamma, svm.kernel) == (0.3, 2.5, kernel)
        np.testing.assert_array_equal(svm.support_, expected.support_)
        np.testing.assert_allclose(svm.decision_function(v), expected.decision_function(v), atol=1e-3)


@pytest.mark.exhaustive
@pytest.mark.parametrize("gamma", ["scale", "auto"])
def test_gamma_may_be_a_rule_of_scikit_learn(quick_fit, gamma):
    fitted = quick_fit(gamma=gamma)
    v = fitted.pca.transform(x_m(fitted, "train"))
    expected = {"scale": 1 / (3 * v.var()), "auto": 1 / 3}[gamma]
    assert fitted.metrics["gamma"] == pytest.approx(expected, rel=1e-4)
    svm = SVC(gamma=expected).fit(v, fitted.dataset.train.labels)
    x = fitted.components["train"]
    np.testing.assert_allclose(svm.decision_function(x), fitted.svms["svm_rbf"].decision_function(x), atol=1e-2)
    assert f"{fitted.metrics['gamma']:.3g}" in figures.influence(fitted).axes[0].get_title()


def test_a_fit_under_pandas_output_gives_the_same_bits(quick_fit, fitted):
    """pandas is not installed: a transformer that would return a DataFrame raises."""
    with sklearn.config_context(transform_output="pandas"):
        again = quick_fit()
    assert again.metrics == fitted.metrics
    np.testing.assert_array_equal(again.components["test"], fitted.components["test"])


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.* predicts no test image", "ignore:the CNN's macro F1")  # after so few epochs
def test_a_balanced_fit_has_balanced_svms_and_its_own_training(small_world, monkeypatch):
    without_certificate(monkeypatch)
    images, labels = pictures(24, 0)
    rows = np.concatenate([np.arange(24), 24 + np.arange(24), 48 + np.arange(5)])
    train = ArraySplit(images[rows], labels[rows])
    dataset = Dataset("unequal", CLASSES, train, small_dataset().test)
    fitted = fit(dataset, small_config(balance=True, epochs=3))
    assert [svm.class_weight for svm in fitted.svms.values()] == ["balanced", "balanced"]
    v, labels = fitted.components["train"], train.labels
    svm = SVC(gamma=1.0, class_weight={c: 53 / (3 * n) for c, n in enumerate((24, 24, 5))}).fit(v, labels)
    np.testing.assert_allclose(svm.decision_function(v), fitted.svms["svm_rbf"].decision_function(v), atol=1e-2)
    keys = {module._checkpoint(dataset, [small_config(balance=balance)], "w") for balance in (False, True)}
    assert len(keys) == 2


def test_another_seed_gives_another_run(quick_fit, fitted):
    other = quick_fit(seed=1)
    assert not np.array_equal(other.training.layers[0][0], fitted.training.layers[0][0])


def test_both_taps_share_features_training_and_scores_to_the_bit(quick_fit, fitted):
    coarse = quick_fit(tap="block5_pool")
    assert (coarse.extracted, coarse.resumed) == (0, True)
    assert fitted.tap_maps["test"].shape == (24, 2, 2, 512)
    assert coarse.tap_maps["test"].shape == coarse.maps["test"].shape == (24, 1, 1, 512)
    assert coarse.metrics == fitted.metrics
    for part in ("train", "test"):
        np.testing.assert_array_equal(coarse.components[part], fitted.components[part])
    for one, other in zip(jax.tree.leaves(coarse.head), jax.tree.leaves(fitted.head), strict=True):
        np.testing.assert_array_equal(one, other)


def test_maps_at_the_tap_have_the_values_that_were_scored(quick_fit, fitted):
    coarse = quick_fit(tap="block5_pool")
    rows = np.array([3, 11, 20])
    fine, pooled = (jax.vmap(run.head)(run.tap_maps["test"][rows]) for run in (fitted, coarse))
    for output, values in pooled.items():
        np.testing.assert_allclose(fine[output], values, rtol=1e-5, atol=1e-5, err_msg=output)
    np.testing.assert_array_equal(coarse.tap_maps["test"][rows], np.asarray(fitted.maps["test"][rows]))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ([{}], "f650082ac690b2a1e0e6286fd0883091"),
        ([{"gamma": 2, "seed": 3}], "73ab6ad87dfc633dc2ae5904b7cb3c22"),
        ([{}, {"seed": 5}], "2e4116f80d0c0ae1efd17e1cbf0a6b2c"),
    ],
)
@pytest.mark.parametrize("tap", ["block5_pool", "block5_conv3"])
def test_trainings_keep_the_names_that_they_had_before(monkeypatch, changes, name, tap):
    monkeypatch.setattr(module, "version", lambda library: "0")
    configs = [small_config(tap=tap, **change) for change in changes]
    assert module._checkpoint(small_dataset(), configs, "w").name == f"{name}.safetensors"


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:pca computes in float32")
@pytest.mark.filterwarnings("ignore:.*predicts no test image")
@pytest.mark.filterwarnings("ignore:less than 0.1 % of the variance")
def test_a_fit_with_bfloat16_and_no_feature_scale(quick_fit):
    fitted = quick_fit(compute="bfloat16", feature_scale="none", activation="tanh", learning_rate=0.01, epochs=3)
    assert fitted.maps["train"].dtype == np.float32
    assert 0 <= fitted.metrics["metrics"]["cnn"]["test_f1"] <= 1


@pytest.mark.parametrize(("repeats", "fraction"), [(1, 0.2), (3, 0.2)])
def test_too_few_images_are_reported_before_the_extraction(repeats, fraction, monkeypatch):
    monkeypatch.setattr(module, "features_of", lambda *_: pytest.fail("features were extracted"))
    images, labels = pictures(repeats, 0)
    split = ArraySplit(images, labels)
    with pytest.raises(InputError, match="give more images of each class"):
        fit(Dataset("few", CLASSES, split, split), small_config(validation_fraction=fraction))


def test_too_few_images_for_the_components_are_reported_before_the_extraction(monkeypatch):
    monkeypatch.setattr(module, "features_of", lambda *_: pytest.fail("features were extracted"))
    split = ArraySplit(*pictures(5, 0))
    with pytest.raises(
        InputError, match="16 components need at least as many training images; got 15; give more images, or"
    ):
        fit(Dataset("few", CLASSES, split, split), small_config(hidden=(20, 20), components=16))


def test_a_stage_that_differs_from_its_estimator_is_an_error(fitted, monkeypatch):
    monkeypatch.setattr(estimators, "PARITY_TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="the stage of pca differs from scikit-learn"):
        checked_parity(fitted.pca, fitted.svms, x_m(fitted, "train"))


def test_constant_features_are_rejected():
    with pytest.raises(InputError, match="layer 2 of the trained head gives the same output for every image"):
        fit_pca(np.ones((9, 6)), small_config())


@pytest.mark.parametrize(("spread", "rejected"), [(1e-9, True), (1e-6, True), (1e-3, False)])
def test_features_that_differ_by_rounding_only_are_rejected(spread, rejected):
    x = 300 * (1 + spread * np.random.default_rng(0).normal(size=(40, 6)))
    with pytest.raises(InputError, match="gives the same output") if rejected else contextlib.nullcontext():
        checked_parity(fit_pca(x, small_config()), {}, x)


@pytest.mark.parametrize(
    ("kernel", "scale"),
    [("linear", 1e-6), ("rbf", 300.0), more("linear", 1.0), more("rbf", 1e-6), more("rbf", 1e-4), more("rbf", 1.0)],
)
def test_an_svm_whose_terms_nearly_cancel_is_accepted(kernel, scale):
    random = np.random.default_rng(0)
    x, labels = scale * random.normal(size=(200, 6)), random.integers(0, 3, 200)
    pca = PCA(3).fit(x)
    svms = {"svm": SVC(kernel=kernel, gamma=1.0).fit(pca.transform(x), labels)}
    checked_parity(pca, svms, x)
    svms["svm"].intercept_ += 1e-3  # scikit-learn predicts with private copies of its public attributes
    with pytest.raises(RuntimeError, match="the stage of svm differs"):
        checked_parity(pca, svms, x)


def test_fewer_images_than_components_are_rejected():
    with pytest.raises(InputError, match="3 components need at least as many training images; got 2"):
        fit_pca(np.eye(6)[:2], small_config())


def test_the_certificate_is_computed_at_the_first_test_image(fitted):
    np.testing.assert_array_equal(fitted.point, fitted.tap_maps["test"][0])


def test_a_fitted_run_is_a_dataclass(fitted):
    assert dataclasses.is_dataclass(fitted)
    assert fitted.point.shape == fitted.head.in_shape


@pytest.fixture(scope="module")
def three_seeds(small_params, small_cache):
    with in_place(small_params, small_cache), pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*predicts no test image")
        without_certificate(patch)
        return fit_seeds(small_dataset(), small_config(), [0, 4, 7])


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.*predicts no test image")
def test_seeds_that_train_together_equal_separate_fits(three_seeds, quick_fit):
    assert [run.config.seed for run in three_seeds] == [0, 4, 7]
    for run in three_seeds:
        alone = quick_fit(seed=run.config.seed)
        assert run.metrics["best_epoch"] == alone.metrics["best_epoch"]
        np.testing.assert_allclose(run.components["test"], alone.components["test"], rtol=1e-3, atol=1e-3)
        assert run.metrics["metrics"]["cnn"] == alone.metrics["metrics"]["cnn"]
    assert not np.allclose(three_seeds[0].components["test"], three_seeds[1].components["test"])


@pytest.mark.parametrize(("seeds", "got"), [([], "none"), ([1, 2, 1], "1, 2, 1")])
def test_no_seeds_and_repeated_seeds_are_rejected(seeds, got):
    with pytest.raises(InputError, match=f"one or more different numbers; got {got}"):
        fit_seeds(small_dataset(), small_config(), seeds)


@pytest.fixture
def trained_epochs(tmp_path, monkeypatch, small_params, small_cache):
    """Start from an empty cache of trainings, not of features; return a list that has one entry per trained epoch."""
    trained = []
    original = training._steps
    monkeypatch.setattr(training, "_steps", lambda *arguments: trained.append(1) or original(*arguments))
    (small_cache / "features").mkdir(exist_ok=True)
    (tmp_path / "features").symlink_to(small_cache / "features")
    with in_place(small_params, tmp_path):
        without_certificate(monkeypatch)
        yield trained


@pytest.mark.filterwarnings("ignore:the CNN's macro F1")  # after so few epochs
def test_a_finished_training_is_loaded_from_the_cache(trained_epochs):
    first = fit(small_dataset(), small_config(epochs=6))
    assert (len(trained_epochs), first.resumed) == (6, False)
    again = fit(small_dataset(), small_config(epochs=6))
    assert (len(trained_epochs), again.resumed) == (6, True)
    np.testing.assert_array_equal(first.components["test"], again.components["test"])


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 0.1}, {"feature_scale": "none"}, {"epochs": 3}])
def test_every_setting_that_changes_the_training_trains_again(trained_epochs, change):
    dataset, config = small_dataset(), small_config(epochs=6)
    changed = small_config(**{"epochs": 6, **change})
    digest, maps, *_ = features_of(dataset, config, Progress(quiet=True))
    for each in (config, changed):
        train_on(maps["train"], dataset, [each], digest, Progress(quiet=True))
    assert len(trained_epochs) == 6 + change.get("epochs", 6)


def test_batch_sizes_above_the_number_of_images_share_a_training(trained_epochs):
    dataset = small_dataset()
    digest, maps, *_ = features_of(dataset, small_config(), Progress(quiet=True))
    for size in (48, 60, 1000):
        train_on(maps["train"], dataset, [small_config(batch_size=size, epochs=3)], digest, Progress(quiet=True))
    assert len(trained_epochs) == 3


def test_a_class_named_predicted_is_rejected(monkeypatch):
    monkeypatch.setattr(module, "features_of", lambda *_: pytest.fail("features were extracted"))
    dataset = dataclasses.replace(small_dataset(), class_names=("a", "predicted", "c"))
    with pytest.raises(InputError, match="no class may be named 'predicted', because targets such as"):
        fit(dataset, small_config())


@pytest.mark.exhaustive
def test_extracted_images_are_counted_once(small_params, tmp_path):
    dataset, quiet = small_dataset(), Progress(quiet=True)
    images = len(dataset.train) + len(dataset.test)
    with in_place(small_params, tmp_path):
        assert [features_of(dataset, small_config(), quiet).extracted for _ in range(2)] == [images, 0]


@pytest.mark.filterwarnings("ignore:the CNN's macro F1")  # after so few epochs
def test_other_labels_train_again(trained_epochs):
    dataset = small_dataset()
    fit(dataset, small_config(epochs=6))
    relabelled = [ArraySplit(part.pixels, (part.labels + 1) % 3) for part in (dataset.train, dataset.test)]
    fit(Dataset("small", CLASSES, *relabelled), small_config(epochs=6))
    assert len(trained_epochs) == 12

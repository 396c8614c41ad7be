"""Warnings about a run: what raises each of them, what it names and what it advises."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from sklearn.svm import SVC

from pcacam_jax.data import ArraySplit, Dataset
from pcacam_jax.fitting.run_warnings import (
    data_warnings_of,
    few_images_warning,
    memorisation_warning,
    negligible_warning,
    neighbour_kernel,
    never_predicted_warning,
    warnings_of,
)
from pcacam_jax.fitting.scores import macro_f1


def clouds(scale, count=120):
    """Return points of three overlapping clouds in three dimensions with a spread of about ``scale``, and labels."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), count)
    return scale * (random.normal(size=(3 * count, 3)) + 1.5 * np.eye(3)[labels]), labels


@pytest.fixture
def fitted_svm():
    def make(scale, **options):
        v, labels = clouds(scale)
        return SVC(**{"gamma": 1.0, **options}).fit(v, labels), v

    return make


def test_features_of_large_spread_give_a_warning(fitted_svm):
    sentence = memorisation_warning("svm_rbf", *fitted_svm(20.0))
    assert sentence.startswith("svm_rbf memorises: 100% of the training images are its support vectors")
    assert "with gamma = 1 the kernel" in sentence
    v = clouds(20.0)[0]
    assert f"set gamma near {SVC().fit(*clouds(20.0))._gamma:.2g}" in sentence
    assert f"standard deviations up to {v.std(axis=0).max():.3g}" in sentence
    assert "feature-scale" not in sentence  # it may already be used


@pytest.mark.parametrize("scale", [0.001, 0.1, 1.0])
def test_features_of_unit_order_give_no_warning(fitted_svm, scale):
    """At 0.001 nearly all points are support vectors because the kernel is flat; the SVM is too smooth."""
    svm, v = fitted_svm(scale)
    assert memorisation_warning("svm_rbf", svm, v) is None
    assert scale > 0.01 or svm.n_support_.sum() > 0.9 * len(v)


@pytest.mark.parametrize(("gap", "warned"), [(0.1, False), (0.3, True)])
def test_a_large_gap_between_training_and_test_scores_gives_a_warning(fitted_svm, gap, warned):
    svm, v = fitted_svm(1.5)
    assert svm.n_support_.sum() < 0.9 * len(v)
    assert (memorisation_warning("svm_rbf", svm, v, gap) is not None) == warned


def test_the_recommended_gamma_gives_no_warning(fitted_svm):
    svm, v = fitted_svm(20.0, gamma=float(1 / (3 * clouds(20.0)[0].var())))
    assert memorisation_warning("svm_rbf", svm, v) is None


def test_the_kernel_of_neighbours_agrees_with_an_exhaustive_search():
    v, _ = clouds(2.0, count=20)
    nearest = [min(np.sum((a - b) ** 2) for j, b in enumerate(v) if j != i) for i, a in enumerate(v)]
    assert neighbour_kernel(v, 0.3) == pytest.approx(np.median(np.exp(-0.3 * np.array(nearest))))


@pytest.mark.parametrize("gamma", ["scale", "auto", 1.0])
def test_the_gamma_that_the_svm_computes_with_is_named(gamma):
    v, labels = clouds(20.0)
    svm = SVC(gamma=gamma).fit(v, labels)
    sentence = memorisation_warning("svm_rbf", svm, v)
    assert (sentence is None) == (gamma == "scale")
    assert sentence is None or f"with gamma = {svm._gamma:g} the kernel" in sentence


def test_no_larger_gamma_is_advised():
    v = np.random.default_rng(0).normal(size=(12, 300))  # in so many dimensions all neighbours are far apart
    svm = SVC(gamma=1 / (300 * v.var())).fit(v, np.repeat([0, 1], 6))
    sentence = memorisation_warning("svm_rbf", svm, v)
    assert sentence.endswith("use a smaller gamma or cost, or more training images.")


def estimators(ratios=(0.5, 0.3, 0.2), **svms):
    return SimpleNamespace(svms=svms, pca=SimpleNamespace(explained_variance_ratio_=np.array(ratios)))


def kinds(*arguments):
    return [(warning.kind, warning.subject) for warning in warnings_of(*arguments)]


def labelled(*counts):
    """Return a dataset of three classes with these numbers of images, the same in both parts."""
    labels = np.repeat(np.arange(3), counts)
    split = ArraySplit(np.zeros((len(labels), 28, 28), np.uint8), labels)
    return Dataset("three", ("a", "b", "c"), split, split)


@pytest.mark.parametrize(("train_f1", "warned"), [(0.2, True), (1 / 3, True), (0.34, False)])
def test_a_cnn_at_chance_gives_a_warning(train_f1, warned):
    scores = {"cnn": {"train_f1": train_f1, "test_f1": 0.3}}
    run_warnings = warnings_of(estimators(), scores, {}, clouds(1.0)[0], labelled(5, 5, 5))
    assert [("no better than chance with 3 classes" in warning.text) for warning in run_warnings] == [True] * warned


@pytest.mark.parametrize("counts", [(8, 8, 8), (5, 14, 6), (5, 5, 22)])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_cnn_that_predicts_one_class_gives_a_warning(counts, part):
    dataset = labelled(*counts)
    truth = dataset.test.labels
    f1 = {"train_f1": 0.34, "test_f1": 0.34}
    named = {"train": "training", "test": "test"}[part]
    for predicted in range(3):
        constant = macro_f1(truth, np.full_like(truth, predicted))
        scores = {"cnn": {**f1, f"{part}_f1": constant}}
        (warning,) = warnings_of(estimators(), scores, {}, clouds(1.0)[0], dataset)
        start = f"the CNN's macro F1 on {named} images is {constant:.3f}, no better than a constant prediction"
        assert warning.text.startswith(start)
        assert (warning.kind, warning.subject) == ("chance", "cnn")
    assert warnings_of(estimators(), {"cnn": f1}, {}, clouds(1.0)[0], dataset) == []


def test_a_linear_svm_gives_no_warning(fitted_svm):
    linear, v = fitted_svm(20.0, kernel="linear")
    rbf, _ = fitted_svm(20.0)
    scores = {name: {"train_f1": 1.0, "test_f1": 0.9} for name in ("cnn", "one", "two")}
    assert kinds(estimators(one=linear, two=rbf), scores, {}, v, labelled(5, 5, 5)) == [("memorisation", "two")]


TRUTH = np.repeat([0, 1, 2], (40, 40, 4))


@pytest.mark.parametrize(
    ("predicted", "missed"),
    [
        (np.repeat([0, 1, 0], (40, 40, 4)), ["c (4 of 84)"]),
        (np.repeat([0, 0, 0], (40, 40, 4)), ["b (40 of 84)", "c (4 of 84)"]),
        (np.repeat([0, 1, 2], (40, 43, 1)), []),
        (np.repeat([2, 1, 0], (40, 40, 4)), []),  # predicted, although never rightly
    ],
)
def test_a_class_that_is_never_predicted_is_named(predicted, missed):
    sentence = never_predicted_warning("svm_rbf", confusion_matrix(TRUTH, predicted), labelled(40, 40, 4))
    assert (sentence is None) == (not missed)
    if missed:
        assert sentence.startswith(f"svm_rbf predicts no test image as {', '.join(missed)}, where")
        assert sentence.endswith("or fit with --balance.")
        balanced = never_predicted_warning(
            "svm_rbf", confusion_matrix(TRUTH, predicted), labelled(40, 40, 4), balanced=True
        )
        assert balanced.endswith("give more images of it.")


def test_a_class_without_test_images_may_be_missing():
    confusion = confusion_matrix([0, 0, 1], [0, 0, 1], labels=[0, 1, 2])
    assert never_predicted_warning("cnn", confusion, labelled(5, 5, 5)) is None


def test_every_classifier_is_checked_unless_the_cnn_is_at_chance():
    matrix = confusion_matrix(TRUTH, np.repeat([0, 1, 0], (40, 40, 4)))
    confusion = {name: {"train": matrix, "test": matrix} for name in ("cnn", "svm_linear")}
    dataset, v = labelled(40, 40, 14), clouds(1.0)[0]
    good, bad = ({"cnn": {"train_f1": f1, "test_f1": f1}} for f1 in (0.6, 0.1))
    assert kinds(estimators(), good, confusion, v, dataset) == [
        ("never_predicted", "cnn"),
        ("never_predicted", "svm_linear"),
    ]
    assert kinds(estimators(), bad, confusion, v, dataset) == [("chance", "cnn")]


def test_few_test_images_and_negligible_components_are_named():
    assert few_images_warning(labelled(5, 5, 5)) is None
    assert "fewer than 5 test images of a (4), c (1), so" in few_images_warning(labelled(4, 5, 1))
    assert negligible_warning(np.array([0.9, 0.099, 0.001])) is None
    assert "variance is explained by component 2 (0.03 %), 3 (0 %), whose" in negligible_warning(np.array([1, 3e-4, 0]))
    scores = {"cnn": {"train_f1": 0.6, "test_f1": 0.6}}
    assert kinds(estimators((1, 0, 0)), scores, {}, clouds(1.0)[0], labelled(9, 9, 2)) == [
        ("negligible_component", "pca")
    ]


def test_images_in_both_splits_are_named_with_few_test_images():
    images = np.arange(6, dtype=np.uint8).repeat(28 * 28).reshape(6, 28, 28)
    labels = np.arange(6) % 2
    train, test = ArraySplit(images[:4], labels[:4]), ArraySplit(images[3:], labels[3:])
    dataset = Dataset("two", ("a", "b"), train, test)
    maps = {"train": np.ones((4, 1, 1, 2)) * np.arange(1, 5)[:, None, None, None], "test": np.ones((3, 1, 1, 2)) * 9}
    shared, few = data_warnings_of(dataset, maps)
    assert (shared.kind, shared.subject, few.kind) == ("shared_images", "data", "few_test_images")
    assert shared.text.startswith("1 of the 4 training images of two are the same images as test images")

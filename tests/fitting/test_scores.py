import numpy as np
import pytest
from sklearn.svm import SVC

from pcacam_jax.data import ArraySplit, Dataset
from pcacam_jax.fitting.scores import macro_f1, memorisation_warning, neighbour_kernel, warnings_of


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


class NamedSVMs:
    def __init__(self, **svms):
        self.svms = svms


def labelled(*counts):
    """Return a dataset of three classes with these numbers of images, the same in both parts."""
    labels = np.repeat(np.arange(3), counts)
    split = ArraySplit(np.zeros((len(labels), 28, 28), np.uint8), labels)
    return Dataset("three", ("a", "b", "c"), split, split)


@pytest.mark.parametrize(("train_f1", "warned"), [(0.2, True), (1 / 3, True), (0.34, False)])
def test_a_cnn_at_chance_gives_a_warning(train_f1, warned):
    scores = {"cnn": {"train_f1": train_f1, "test_f1": 0.3}}
    sentences = warnings_of(NamedSVMs(), scores, clouds(1.0)[0], labelled(5, 5, 5))
    assert [("no better than chance with 3 classes" in sentence) for sentence in sentences] == [True] * warned


@pytest.mark.parametrize("counts", [(8, 8, 8), (4, 14, 6), (1, 1, 22)])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_cnn_that_predicts_one_class_gives_a_warning(counts, part):
    dataset = labelled(*counts)
    truth = dataset.test.labels
    f1 = {"train_f1": 0.334, "test_f1": 0.334}
    named = {"train": "training", "test": "test"}[part]
    for predicted in range(3):
        constant = macro_f1(truth, np.full_like(truth, predicted))
        (sentence,) = warnings_of(NamedSVMs(), {"cnn": {**f1, f"{part}_f1": constant}}, clouds(1.0)[0], dataset)
        start = f"the CNN's macro F1 on {named} images is {constant:.3f}, no better than a constant prediction"
        assert sentence.startswith(start)
    assert warnings_of(NamedSVMs(), {"cnn": f1}, clouds(1.0)[0], dataset) == []


def test_a_linear_svm_gives_no_warning(fitted_svm):
    linear, v = fitted_svm(20.0, kernel="linear")
    rbf, _ = fitted_svm(20.0)
    scores = {name: {"train_f1": 1.0, "test_f1": 0.9} for name in ("cnn", "one", "two")}
    sentences = warnings_of(NamedSVMs(one=linear, two=rbf), scores, v, labelled(5, 5, 5))
    assert len(sentences) == 1
    assert sentences[0].startswith("two memorises")

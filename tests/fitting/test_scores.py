import numpy as np
import pytest
from sklearn.svm import SVC

from pcacam_jax.data import ArraySplit, Dataset
from pcacam_jax.fitting.scores import macro_f1, memorising, neighbour_kernel, warnings_of


def clouds(scale, count=120):
    """Three overlapping clouds in three dimensions, their spread about ``scale``."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), count)
    return scale * (random.normal(size=(3 * count, 3)) + 1.5 * np.eye(3)[labels]), labels


@pytest.fixture
def fitted_svm():
    def make(scale, **options):
        v, labels = clouds(scale)
        return SVC(**{"gamma": 1.0, **options}).fit(v, labels), v

    return make


def test_features_of_large_spread_are_memorised(fitted_svm):
    sentence = memorising("svm_rbf", *fitted_svm(20.0))
    assert sentence.startswith("svm_rbf memorises: 100% of the training images are its support vectors")
    assert "with gamma = 1 the kernel" in sentence
    v = clouds(20.0)[0]
    assert f"Take gamma near {SVC().fit(*clouds(20.0))._gamma:.2g}" in sentence
    assert f"standard deviations up to {v.std(axis=0).max():.3g}" in sentence
    assert "feature-scale" not in sentence  # it may be on


@pytest.mark.parametrize("scale", [0.001, 0.1, 1.0])
def test_features_of_unit_order_are_not(fitted_svm, scale):
    """At 0.001 nearly all points are support vectors too, since the kernel is flat: too smooth, not memorised."""
    svm, v = fitted_svm(scale)
    assert memorising("svm_rbf", svm, v) is None
    assert scale > 0.01 or svm.n_support_.sum() > 0.9 * len(v)


@pytest.mark.parametrize(("gap", "told"), [(0.1, False), (0.3, True)])
def test_training_images_known_far_better_than_others_are_a_sign(fitted_svm, gap, told):
    svm, v = fitted_svm(1.5)
    assert svm.n_support_.sum() < 0.9 * len(v)
    assert (memorising("svm_rbf", svm, v, gap) is not None) == told


def test_the_advised_gamma_cures_it(fitted_svm):
    svm, v = fitted_svm(20.0, gamma=float(1 / (3 * clouds(20.0)[0].var())))
    assert memorising("svm_rbf", svm, v) is None


def test_the_kernel_of_neighbours_is_that_of_a_plain_search():
    v, _ = clouds(2.0, count=20)
    nearest = [min(np.sum((a - b) ** 2) for j, b in enumerate(v) if j != i) for i, a in enumerate(v)]
    assert neighbour_kernel(v, 0.3) == pytest.approx(np.median(np.exp(-0.3 * np.array(nearest))))


class Named:
    def __init__(self, **svms):
        self.svms = svms


def labelled(*counts):
    """A data set of three classes with so many images of each in both parts."""
    labels = np.repeat(np.arange(3), counts)
    split = ArraySplit(np.zeros((len(labels), 28, 28), np.uint8), labels)
    return Dataset("three", ("a", "b", "c"), split, split)


@pytest.mark.parametrize(("train_f1", "warned"), [(0.2, True), (1 / 3, True), (0.34, False)])
def test_a_cnn_at_chance_is_told(train_f1, warned):
    scores = {"cnn": {"train_f1": train_f1, "test_f1": 0.3}}
    found = warnings_of(Named(), scores, clouds(1.0)[0], labelled(5, 5, 5))
    assert [("no better than chance with 3 classes" in sentence) for sentence in found] == [True] * warned


@pytest.mark.parametrize("counts", [(8, 8, 8), (4, 14, 6), (1, 1, 22)])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_cnn_that_predicts_one_class_is_told(counts, part):
    dataset = labelled(*counts)
    truth = dataset.test.labels
    f1 = {"train_f1": 0.334, "test_f1": 0.334}
    named = {"train": "training", "test": "test"}[part]
    for predicted in range(3):
        own = macro_f1(truth, np.full_like(truth, predicted))
        (sentence,) = warnings_of(Named(), {"cnn": {**f1, f"{part}_f1": own}}, clouds(1.0)[0], dataset)
        assert sentence.startswith(f"the CNN's macro F1 on {named} images is {own:.3f}, no better than a constant pred")
    assert warnings_of(Named(), {"cnn": f1}, clouds(1.0)[0], dataset) == []


def test_a_linear_svm_is_left_alone(fitted_svm):
    linear, v = fitted_svm(20.0, kernel="linear")
    rbf, _ = fitted_svm(20.0)
    scores = {name: {"train_f1": 1.0, "test_f1": 0.9} for name in ("cnn", "one", "two")}
    found = warnings_of(Named(one=linear, two=rbf), scores, v, labelled(5, 5, 5))
    assert len(found) == 1
    assert found[0].startswith("two memorises")

"""Confusion matrices and scores of classes against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from pcacam_jax.fitting.scores import class_scores, confusion_matrices


def drawn(classes, count=200, seed=0):
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, count)
    return truth, np.where(random.random(count) < 0.6, truth, random.integers(0, classes, count))


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_class_scores_equal_scikit_learns(classes):
    truth, predicted = drawn(classes)
    scores = class_scores(confusion_matrix(truth, predicted, labels=range(classes)))
    expected = precision_recall_fscore_support(truth, predicted, labels=range(classes))
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(scores[name], values)


def test_undefined_scores_are_none():
    scores = class_scores(np.array([[3, 0, 0], [2, 0, 0], [0, 0, 0]]))
    assert scores == {"precision": [0.6, None, None], "recall": [1.0, 0.0, None], "f1": [0.75, 0.0, None]}


def test_the_reported_scores_of_a_run_belong_together(fitted):
    reported = fitted.metrics["class_scores"]
    assert reported.keys() == {"cnn", "svm_linear", "svm_rbf"}
    for name, parts in reported.items():
        for part, values in parts.items():
            confusion = np.array(values["confusion"])
            assert confusion.sum() == fitted.metrics["images"][part]
            labels = getattr(fitted.dataset, part).labels
            np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(labels))
            macro = np.mean([f1 or 0 for f1 in values["f1"]])
            assert fitted.metrics["metrics"][name][f"{part}_f1"] == pytest.approx(macro)
    predicted = fitted.outputs.predicted["svm_rbf"]
    expected = confusion_matrix(fitted.dataset.train.labels, predicted)
    np.testing.assert_array_equal(reported["svm_rbf"]["train"]["confusion"], expected)
    assert f1_score(fitted.dataset.train.labels, predicted, average="macro") == pytest.approx(
        fitted.metrics["metrics"]["svm_rbf"]["train_f1"]
    )


def test_the_outputs_are_those_of_the_head(fitted):
    np.testing.assert_allclose(fitted.outputs.values["pca"], fitted.components["train"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(fitted.outputs.values["cnn"].argmax(axis=1), fitted.outputs.predicted["cnn"])
    assert confusion_matrices({"train": fitted.outputs}, fitted.dataset)["cnn"]["train"].shape == (3, 3)

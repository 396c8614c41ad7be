"""The figure of confusion matrices shows the reported counts."""

import dataclasses

import numpy as np

from pcacam_jax.data import ArraySplit, Dataset
from pcacam_jax.reports.confusion_figure import confusion_figure


def test_every_classifier_has_its_matrix_with_counts_and_names(fitted):
    panels = confusion_figure(fitted).axes
    assert [axes.get_title().split(",")[0] for axes in panels] == ["CNN", "Lin-SVM", "RBF-SVM"]
    for axes, parts in zip(panels, fitted.metrics["class_scores"].values(), strict=True):
        confusion = np.array(parts["test"]["confusion"])
        np.testing.assert_allclose(axes.images[0].get_array(), confusion / confusion.sum(axis=1, keepdims=True))
        counts = {tuple(map(int, text.get_position()[::-1])): int(text.get_text()) for text in axes.texts}
        assert counts == {cell: count for cell, count in np.ndenumerate(confusion) if count}
        assert [label.get_text() for label in axes.get_xticklabels()] == list(fitted.dataset.class_names)


def test_many_classes_are_drawn_without_text(fitted):
    names = tuple(f"class {c}" for c in range(30))
    split = ArraySplit(np.zeros((30, 28, 28), np.uint8), np.arange(30))
    scores = {"cnn": {"test": {"confusion": np.eye(30, dtype=int).tolist()}}}
    metrics = {**fitted.metrics, "class_scores": scores}
    run = dataclasses.replace(fitted, metrics=metrics, dataset=Dataset("many", names, split, split))
    [axes] = confusion_figure(run).axes
    assert not axes.texts
    assert axes.images[0].get_array().shape == (30, 30)

"""Scores of a fitted run: macro F1 and confusion matrices of every classifier, and scores of every class."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array
from sklearn.metrics import confusion_matrix, f1_score

from pcacam_jax.cam.distance import mean_features, reconstruction_error
from pcacam_jax.data import Dataset
from pcacam_jax.fitting.estimators import Estimators
from pcacam_jax.fitting.out_of_core import map_features
from pcacam_jax.head.hybrid import HybridHead


class HeadOutputs(NamedTuple):
    """What a head gives for N images."""

    values: dict[str, Any]
    """The values of every output, ``(N, C)``."""
    predicted: dict[str, Any]
    """The predicted labels of every classifier, ``(N,)``."""
    reconstruction: Any = None
    """The errors of the PCA's reconstruction of ``x_m``, ``(N,)``; None if it has as many components as inputs."""
    features: Any = None
    """The means of the maps over their positions, ``(N, K)``."""


def head_outputs(head: HybridHead, maps: Mapping[str, np.ndarray]) -> dict[str, HeadOutputs]:
    """Return what a head gives for the feature maps of each part, ``(N, h, w, K)``, in memory or memory-mapped."""

    def outputs(one: Array) -> HeadOutputs:
        error = reconstruction_error(head.pca, head.trunk(one))
        return HeadOutputs(head(one), head.predict(one), error, mean_features(head, one))

    function = jax.vmap(outputs)
    return {part: map_features(function, part_maps) for part, part_maps in maps.items()}


def score(estimators: Estimators, outputs: Mapping[str, HeadOutputs], dataset: Dataset) -> dict[str, Any]:
    """Return the scores of the CNN and of every SVM.

    Args:
        estimators: the fitted estimators and their head.
        outputs: what the head gives for "train" and "test", or for one of them.
        dataset: the labels.

    Returns:
        For every classifier the macro F1 on each part, ``"train_f1"`` and ``"test_f1"``; for every SVM also its number
        of ``"support_vectors"``.
    """
    truth = {"train": dataset.train.labels, "test": dataset.test.labels}
    scores: dict[str, Any] = {
        name: {f"{part}_f1": macro_f1(truth[part], outputs[part].predicted[name]) for part in outputs}
        for name in ("cnn", *estimators.svms)
    }
    for name, svm in estimators.svms.items():
        scores[name]["support_vectors"] = int(svm.n_support_.sum())
    return scores


def confusion_matrices(outputs: Mapping[str, HeadOutputs], dataset: Dataset) -> dict[str, dict[str, np.ndarray]]:
    """Return the confusion matrix of every classifier on each part.

    Args:
        outputs: what the head gives for "train" and "test", or for one of them.
        dataset: the labels.

    Returns:
        By name of the classifier and by part, ``(C, C)`` counts: row c are the images of class c, column c those
        predicted as c.
    """
    truth, classes = {"train": dataset.train.labels, "test": dataset.test.labels}, np.arange(len(dataset.class_names))
    names = next(iter(outputs.values())).predicted
    return {
        name: {part: confusion_matrix(truth[part], outputs[part].predicted[name], labels=classes) for part in outputs}
        for name in names
    }


def class_scores(confusion: np.ndarray) -> dict[str, list[float | None]]:
    """Return precision, recall and F1 of every class.

    Args:
        confusion: ``(C, C)``, rows are the true classes.

    Returns:
        ``"precision"``, None for a class that is never predicted; ``"recall"``, None for a class without images; and
        ``"f1"``, 0 for a class that is never predicted, and None if it has no images either.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.scores import class_scores
        >>> class_scores(np.array([[3, 1], [0, 4]]))
        {'precision': [1.0, 0.8], 'recall': [0.75, 1.0], 'f1': [0.8571428571428571, 0.8888888888888888]}
    """
    right, images, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        "precision": _ratios(right, predicted),
        "recall": _ratios(right, images),
        "f1": _ratios(2 * right, images + predicted),
    }


def _ratios(counts: np.ndarray, totals: np.ndarray) -> list[float | None]:
    return [float(count / total) if total else None for count, total in zip(counts, totals, strict=True)]


def constant_f1(truth: np.ndarray) -> float:
    """Return the macro F1 of predicting the most frequent class for every image."""
    return macro_f1(truth, np.full_like(truth, np.bincount(truth).argmax()))


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean F1 score of all classes; a class that is never predicted counts as 0.

    Args:
        truth: labels, ``(N,)``.
        predicted: predicted labels, ``(N,)``.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.scores import macro_f1
        >>> round(macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])), 3)
        0.733
    """
    options: dict[str, Any] = {"average": "macro", "zero_division": 0}
    return float(f1_score(truth, predicted, **options))

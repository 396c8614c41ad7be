"""How well a fitted run classifies, and whether its RBF SVM has learnt anything or only memorised."""

from typing import Any

import jax
import numpy as np
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from pcacam_jax.data import Dataset
from pcacam_jax.fitting.estimators import Estimators
from pcacam_jax.fitting.out_of_core import map_features

NEARLY_ALL = 0.9
"""Share of the training images among the support vectors from which on an SVM may have memorised."""
OUT_OF_REACH = 0.9
"""Kernel value of the typical nearest neighbour under which such an SVM has memorised."""
LARGE_GAP = 0.2
"""By how much an SVM's macro F1 may fall more than the CNN's from training to test images."""
UNDERFLOW = 1e-3
"""Kernel value of the typical nearest neighbour under which any SVM has memorised."""
MOST_ROWS = 1000


def score(estimators: Estimators, maps: dict[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
    """Return macro F1 on both parts for the CNN and every SVM, with what else is to be known of the SVMs."""
    truth = {"train": dataset.train.labels, "test": dataset.test.labels}
    predicted = {part: map_features(jax.vmap(estimators.head.predict), own) for part, own in maps.items()}
    scores: dict[str, Any] = {
        name: {f"{part}_f1": macro_f1(truth[part], predicted[part][name]) for part in maps}
        for name in ("cnn", *estimators.svms)
    }
    for name, svm in estimators.svms.items():
        scores[name]["support_vectors"] = int(svm.n_support_.sum())
    return scores


def warnings_of(estimators: Estimators, scores: dict[str, Any], v: np.ndarray, dataset: Dataset) -> list[str]:
    """Return a sentence for each classifier whose scores mean less than they seem to, with what to do about it.

    Args:
        estimators: the fitted ones.
        scores: what :func:`score` gives.
        v: (N, D) PCA features of the training images.
        dataset: what they were fitted on.
    """
    gaps = {name: own["train_f1"] - own["test_f1"] for name, own in scores.items()}
    found = [
        memorising(name, svm, v, gaps[name] - gaps["cnn"])
        for name, svm in estimators.svms.items()
        if svm.kernel == "rbf"
    ]
    found.append(unlearnt(scores["cnn"], dataset))
    return [sentence for sentence in found if sentence]


def unlearnt(f1: dict[str, float], dataset: Dataset) -> str | None:
    """Return a sentence if the CNN is no better than chance or than one class for every image, None otherwise."""
    therefore = (
        "so no map of this run means anything; train for more epochs, or with another learning rate, activation or "
        "feature scale."
    )
    for part, name, split in (("train", "training", dataset.train), ("test", "test", dataset.test)):
        own, constant = f1[f"{part}_f1"], constant_f1(split.labels)
        if own <= constant:
            return (
                f"the CNN's macro F1 on {name} images is {own:.3f}, no better than a constant prediction: always the "
                f"most frequent class gives {constant:.3f}, {therefore}"
            )
    if f1["train_f1"] <= 1 / len(dataset.class_names):
        return (
            f"the CNN's macro F1 on its own training images is {f1['train_f1']:.3f}, no better than chance with "
            f"{len(dataset.class_names)} classes, {therefore}"
        )
    return None


def memorising(name: str, svm: SVC, v: np.ndarray, gap: float = 0.0) -> str | None:
    """Return a sentence if an RBF SVM has memorised its (N, D) training features, None otherwise.

    It has when hardly any training point lies within reach of another: nearly all are support vectors, or ``gap``, by
    how much its macro F1 falls more than the CNN's from training to test images, is large, although the kernel between
    neighbours is small; or that kernel underflows. It then knows its training images by heart, does badly on others,
    and its gradient vanishes between them (Theorem 1).
    """
    share, gamma = svm.n_support_.sum() / len(v), float(svm.gamma)
    nearest = neighbour_kernel(v, gamma)
    by_heart = share >= NEARLY_ALL or gap >= LARGE_GAP
    if not (nearest < UNDERFLOW or (by_heart and nearest < OUT_OF_REACH)):
        return None
    usual = 1 / (v.shape[1] * v.var())
    return (
        f"{name} memorises: {share:.0%} of the training images are its support vectors, its F1 falls by {gap:.2f} more "
        f"than the CNN's from training to test images, and with gamma = {gamma:g} the "
        f"kernel between a training image and its nearest neighbour is typically {nearest:.2g}, the features having "
        f"standard deviations up to {v.std(axis=0).max():.3g}; its maps and its score on training images mean little. "
        f'Take gamma near {usual:.2g} (scikit-learn\'s "scale").'
    )


def neighbour_kernel(v: np.ndarray, gamma: float) -> float:
    """Return the median of exp(-gamma d^2), d from a training point to the nearest other, over at most 1000 points."""
    rows = np.linspace(0, len(v) - 1, min(len(v), MOST_ROWS)).round().astype(int)
    distances, _ = NearestNeighbors(n_neighbors=2).fit(v).kneighbors(v[rows])
    return float(np.median(np.exp(-gamma * distances[:, 1] ** 2)))


def constant_f1(truth: np.ndarray) -> float:
    """Return the macro F1 of always predicting the most frequent class."""
    return macro_f1(truth, np.full_like(truth, np.bincount(truth).argmax()))


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the F1 score of every class, averaged; a class that is never predicted counts 0."""
    options: dict[str, Any] = {"average": "macro", "zero_division": 0}
    return float(f1_score(truth, predicted, **options))

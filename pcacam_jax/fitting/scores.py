"""Macro F1 scores of a fitted run, and warnings if the CNN has learned nothing or an RBF SVM memorises."""

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
"""An SVM that has at least this share of the training images as support vectors is suspected to memorise."""
LARGE_GAP = 0.2
"""So is an SVM whose macro F1 falls by at least this much more than the CNN's from training to test images."""
DISTANT = 0.9
"""A suspected SVM memorises if the median kernel value between nearest neighbours is below this."""
UNDERFLOW = 1e-3
"""Any SVM memorises if the median kernel value between nearest neighbours is below this."""
MAX_ROWS = 1000
"""Number of training points whose nearest neighbour is searched."""


def score(estimators: Estimators, maps: dict[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
    """Return the scores of the CNN and of every SVM.

    Args:
        estimators: the fitted estimators and their head.
        maps: feature maps of "train" and "test", or of one of them, ``(N, h, w, K)``.
        dataset: the labels.

    Returns:
        For every classifier the macro F1 on each part, ``"train_f1"`` and ``"test_f1"``; for every SVM also its number
        of ``"support_vectors"``.
    """
    truth = {"train": dataset.train.labels, "test": dataset.test.labels}
    predicted = {part: map_features(jax.vmap(estimators.head.predict), features) for part, features in maps.items()}
    scores: dict[str, Any] = {
        name: {f"{part}_f1": macro_f1(truth[part], predicted[part][name]) for part in maps}
        for name in ("cnn", *estimators.svms)
    }
    for name, svm in estimators.svms.items():
        scores[name]["support_vectors"] = int(svm.n_support_.sum())
    return scores


def warnings_of(estimators: Estimators, scores: dict[str, Any], v: np.ndarray, dataset: Dataset) -> list[str]:
    """Return a warning for each classifier that has learned nothing or memorises.

    Args:
        estimators: the fitted estimators.
        scores: the result of :func:`score`.
        v: PCA features of the training images, ``(N, D)``.
        dataset: the data that they were fitted to.

    Returns:
        Sentences that say what was measured and what to do.
    """
    gaps = {name: values["train_f1"] - values["test_f1"] for name, values in scores.items()}
    sentences = [
        memorisation_warning(name, svm, v, gaps[name] - gaps["cnn"])
        for name, svm in estimators.svms.items()
        if svm.kernel == "rbf"
    ]
    sentences.append(chance_warning(scores["cnn"], dataset))
    return [sentence for sentence in sentences if sentence]


def chance_warning(f1: dict[str, float], dataset: Dataset) -> str | None:
    """Return a sentence if the CNN is no better than chance or than a constant prediction, otherwise None."""
    consequence = (
        "so the maps of this run mean nothing; train for more epochs, or use another learning rate, activation or "
        "feature scale."
    )
    for part, name, split in (("train", "training", dataset.train), ("test", "test", dataset.test)):
        cnn_f1, constant = f1[f"{part}_f1"], constant_f1(split.labels)
        if cnn_f1 <= constant:
            return (
                f"the CNN's macro F1 on {name} images is {cnn_f1:.3f}, no better than a constant prediction of the "
                f"most frequent class ({constant:.3f}), {consequence}"
            )
    if f1["train_f1"] <= 1 / len(dataset.class_names):
        return (
            f"the CNN's macro F1 on its own training images is {f1['train_f1']:.3f}, no better than chance with "
            f"{len(dataset.class_names)} classes, {consequence}"
        )
    return None


def memorisation_warning(name: str, svm: SVC, v: np.ndarray, gap: float = 0.0) -> str | None:
    """Return a sentence if an RBF SVM has memorised its training features, otherwise None.

    An SVM memorises if the kernel between a training point and its nearest neighbour underflows, or if that kernel is
    small and, in addition, nearly all training points are support vectors or ``gap`` is large. Such an SVM classifies
    its training images almost perfectly and others badly, and its gradient vanishes between them (Theorem 1).

    Args:
        name: name of the SVM, for the sentence.
        svm: the fitted SVM.
        v: its training features, ``(N, D)``.
        gap: fall of its macro F1 from training to test images, minus the fall of the CNN's.
    """
    share, gamma = svm.n_support_.sum() / len(v), float(svm.gamma)
    nearest = neighbour_kernel(v, gamma)
    suspected = share >= NEARLY_ALL or gap >= LARGE_GAP
    if not (nearest < UNDERFLOW or (suspected and nearest < DISTANT)):
        return None
    usual = 1 / (v.shape[1] * v.var())
    return (
        f"{name} memorises: {share:.0%} of the training images are its support vectors, its F1 falls by {gap:.2f} more "
        f"than the CNN's from training to test images, and with gamma = {gamma:g} the kernel between a training image "
        f"and its nearest neighbour is typically {nearest:.2g} (the features have standard deviations up to "
        f"{v.std(axis=0).max():.3g}), so its maps and its score on training images mean little; set gamma near "
        f'{usual:.2g} (scikit-learn\'s "scale").'
    )


def neighbour_kernel(v: np.ndarray, gamma: float) -> float:
    """Return the median kernel value ``exp(-gamma d^2)`` between a training point and its nearest neighbour (Eq. 7).

    Args:
        v: training features, ``(N, D)``; the median is over at most 1000 of them, evenly spaced.
        gamma: kernel coefficient.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.scores import neighbour_kernel
        >>> round(neighbour_kernel(np.array([[0.0], [1.0], [2.0]]), gamma=1.0), 3)
        0.368
    """
    rows = np.linspace(0, len(v) - 1, min(len(v), MAX_ROWS)).round().astype(int)
    distances, _ = NearestNeighbors(n_neighbors=2).fit(v).kneighbors(v[rows])
    return float(np.median(np.exp(-gamma * distances[:, 1] ** 2)))


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

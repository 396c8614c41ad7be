"""Warnings about a fitted run: what was measured, and what to do; each has a kind that programs can read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from pcacam_jax.core.text import abbreviated
from pcacam_jax.data import Dataset
from pcacam_jax.data.duplicates import shared_images_warning
from pcacam_jax.fitting.estimators import Estimators, gamma_of
from pcacam_jax.fitting.scores import constant_f1

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
NEGLIGIBLE = 1e-3
"""A component that explains less than this share of the variance is reported."""
FEW = 5
"""A class with fewer test images than this is reported."""


class RunWarning(NamedTuple):
    """One warning about a fitted run."""

    kind: str
    """``"chance"``, ``"memorisation"``, ``"never_predicted"``, ``"negligible_component"``, ``"few_test_images"`` or
    ``"shared_images"``."""
    subject: str
    """What it is about: the name of a classifier, ``"pca"`` or ``"data"``."""
    text: str
    """A sentence that says what was measured and what to do."""


def warnings_of(
    estimators: Estimators,
    scores: dict[str, Any],
    confusion: Mapping[str, Mapping[str, np.ndarray]],
    v: np.ndarray,
    dataset: Dataset,
) -> list[RunWarning]:
    """Return the warnings about a fitted run.

    Args:
        estimators: the fitted estimators.
        scores: the result of :func:`~pcacam_jax.fitting.scores.score`.
        confusion: the result of :func:`~pcacam_jax.fitting.scores.confusion_matrices`.
        v: PCA features of the training images, ``(N, D)``.
        dataset: the data that they were fitted to.
    """
    gaps = {name: values["train_f1"] - values["test_f1"] for name, values in scores.items()}
    warnings = []
    for name, svm in estimators.svms.items():
        if svm.kernel == "rbf" and (text := memorisation_warning(name, svm, v, gaps[name] - gaps["cnn"])):
            warnings.append(RunWarning("memorisation", name, text))
    if text := chance_warning(scores["cnn"], dataset):
        warnings.append(RunWarning("chance", "cnn", text))
    else:
        balanced = any(svm.class_weight for svm in estimators.svms.values())
        for name, matrices in confusion.items():
            if text := never_predicted_warning(name, matrices["test"], dataset, balanced=balanced):
                warnings.append(RunWarning("never_predicted", name, text))
    if text := negligible_warning(np.asarray(estimators.pca.explained_variance_ratio_)):
        warnings.append(RunWarning("negligible_component", "pca", text))
    return warnings


def data_warnings_of(dataset: Dataset, maps: Mapping[str, np.ndarray]) -> list[RunWarning]:
    """Return the warnings about a dataset, whatever is fitted to it.

    Args:
        dataset: the images.
        maps: feature maps of "train" and "test", ``(N, h, w, K)``, which are equal for equal images in different files.
    """
    texts = {"shared_images": shared_images_warning(dataset, maps), "few_test_images": few_images_warning(dataset)}
    return [RunWarning(kind, "data", text) for kind, text in texts.items() if text]


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


def never_predicted_warning(
    name: str, confusion: np.ndarray, dataset: Dataset, *, balanced: bool = False
) -> str | None:
    """Return a sentence if a classifier predicts a class of the test images for none of them, otherwise None.

    Args:
        name: name of the classifier, for the sentence.
        confusion: its confusion matrix on the test images, ``(C, C)``; rows are the true classes.
        dataset: the class names and the labels.
        balanced: whether the classes count alike in the fit, so that this cannot be advised.
    """
    missed = np.flatnonzero((confusion.sum(axis=0) == 0) & (confusion.sum(axis=1) > 0))
    if not len(missed):
        return None
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.class_names))
    named = [f"{dataset.class_names[label]} ({counts[label]:,} of {counts.sum():,})" for label in missed]
    advice = "give more images of it" + ("" if balanced else ", or fit with --balance")
    return (
        f"{name} predicts no test image as {abbreviated(named)}, where the numbers are those of training images; a "
        f"class that is never predicted was not learned: {advice}."
    )


def few_images_warning(dataset: Dataset) -> str | None:
    """Return a sentence if a class has too few test images for its scores to mean much, otherwise None."""
    counts = np.bincount(dataset.test.labels, minlength=len(dataset.class_names))
    named = [f"{dataset.class_names[label]} ({counts[label]})" for label in np.flatnonzero(counts < FEW)]
    if not named:
        return None
    return (
        f"there are fewer than {FEW} test images of {abbreviated(named)}, so one image changes their scores a lot; "
        "test with more images."
    )


def negligible_warning(ratios: np.ndarray) -> str | None:
    """Return a sentence if components explain a negligible share of the variance, ``ratios`` (D,), otherwise None."""
    named = [f"{r + 1} ({100 * ratios[r]:.2g} %)" for r in np.flatnonzero(ratios < NEGLIGIBLE)]
    if not named:
        return None
    return (
        f"less than {100 * NEGLIGIBLE:g} % of the variance is explained by component {abbreviated(named)}, whose maps "
        "mean little; use fewer components."
    )


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
    share, gamma = svm.n_support_.sum() / len(v), gamma_of(svm)
    nearest = neighbour_kernel(v, gamma)
    suspected = share >= NEARLY_ALL or gap >= LARGE_GAP
    if not (nearest < UNDERFLOW or (suspected and nearest < DISTANT)):
        return None
    usual = 1 / (v.shape[1] * v.var())
    advice = (
        f'set gamma near {usual:.2g} (--gamma scale, scikit-learn\'s "scale").'
        if gamma > usual
        else "use a smaller gamma or cost, or more training images."
    )
    return (
        f"{name} memorises: {share:.0%} of the training images are its support vectors, its F1 falls by {gap:.2f} more "
        f"than the CNN's from training to test images, and with gamma = {gamma:g} the kernel between a training image "
        f"and its nearest neighbour is typically {nearest:.2g} (the features have standard deviations up to "
        f"{v.std(axis=0).max():.3g}), so its maps and its score on training images mean little; {advice}"
    )


def neighbour_kernel(v: np.ndarray, gamma: float) -> float:
    """Return the median kernel value ``exp(-gamma d^2)`` between a training point and its nearest neighbour (Eq. 7).

    Args:
        v: training features, ``(N, D)``; the median is over at most 1000 of them, evenly spaced.
        gamma: kernel coefficient.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.run_warnings import neighbour_kernel
        >>> round(neighbour_kernel(np.array([[0.0], [1.0], [2.0]]), gamma=1.0), 3)
        0.368
    """
    rows = np.linspace(0, len(v) - 1, min(len(v), MAX_ROWS)).round().astype(int)
    distances, _ = NearestNeighbors(n_neighbors=2).fit(v).kneighbors(v[rows])
    return float(np.median(np.exp(-gamma * distances[:, 1] ** 2)))

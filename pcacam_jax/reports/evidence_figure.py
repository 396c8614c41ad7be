"""The figure that shows which training images contribute most to an SVM decision of a fitted run."""

import numpy as np
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.cam.evidence import Evidence, evidence
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.reports.figures import words
from pcacam_jax.scikit.svm import expansion_of


def evidence_of(fitted: Fitted, rows: np.ndarray, target: str, *, count: int = 8, scale_free: bool = False) -> Evidence:
    """Return :func:`pcacam_jax.evidence` of test images of a run, also for a linear SVM.

    Args:
        fitted: a fitted run.
        rows: indices of test images, (B,).
        target: one class of one SVM, as in :func:`pcacam_jax.evidence`.
        count: the number of support vectors to return separately.
        scale_free: as in :func:`pcacam_jax.evidence`.

    Returns:
        The evidence. Its ``indices`` refer to the SVM's ``support_``; :func:`training_rows` converts them to training
        images.

    Raises:
        InputError: ``target`` names no SVM of the run, or :func:`pcacam_jax.evidence` raises.
    """
    name = target.partition(":")[0] if isinstance(target, str) else ""
    check_choice("the SVM of target", name, fitted.svms)
    support = expansion_of(fitted.svms[name], collapse=False)
    maps = fitted.tap_maps["test"][rows]
    return evidence(fitted.head, maps, target, count=count, support=support, scale_free=scale_free)


def training_rows(fitted: Fitted, target: str, indices: np.ndarray) -> np.ndarray:
    """Return the training images of the support vectors ``indices`` of a target's SVM, as indices of the same shape."""
    return fitted.svms[target.partition(":")[0]].support_[indices]


def evidence_figure(
    fitted: Fitted, row: int, target: str = "svm_rbf:predicted", *, count: int = 5, scale_free: bool = False
) -> Figure:
    """Return a figure of the training images that contribute most to the decision on one test image.

    Args:
        fitted: a fitted run.
        row: the index of the test image.
        target: one class of one SVM, as in :func:`pcacam_jax.evidence`.
        count: the number of training images to show.
        scale_free: as in :func:`pcacam_jax.evidence`.

    Returns:
        The figure of :func:`pcacam_jax.plots.decision_evidence`.

    Raises:
        InputError: the image or the target does not exist, or the map is zero everywhere or its gradient underflowed.
    """
    images = fitted.dataset.test
    if isinstance(row, bool) or not 0 <= row < len(images):
        raise InputError(f"row must be the index of a test image, 0 to {len(images) - 1}; got {row}.")
    explained = evidence_of(fitted, np.array([row]), target, count=count, scale_free=scale_free)
    if explained.vanished[0] or not np.isfinite(np.asarray(explained.shares)).all():
        raise InputError(
            f"the map of {target} on test image {row} is zero everywhere or its gradient underflowed, so there are no "
            "contributions to show; if the gradient of an RBF SVM underflowed, pass scale_free=True."
        )
    train, size = fitted.dataset.train, fitted.config.size
    rows = training_rows(fitted, target, np.asarray(explained.indices[0]))
    support_images = plots.SupportImages(
        images=list(train.images(rows, size)),
        names=[fitted.dataset.class_names[label] for label in train.labels[rows]],
        maps=np.asarray(explained.maps[0]),
        shares=np.asarray(explained.shares[0]),
        coefficients=np.asarray(explained.coefficients[0]),
        distances=np.asarray(explained.distances[0]),
        influences=np.asarray(explained.influences[0]),
    )
    decision = words(target, str(explained.labels[0]), fitted.head.space(target.partition(":")[0]))
    return plots.decision_evidence(
        images.images(np.array([row]), size)[0],
        explained.signed[0],
        support_images,
        explained.rest[0],
        title=f"{decision} = {float(explained.values[0]):.3g}",
        others=explained.support_vectors - len(rows),
        critical_distance=explained.critical_distance,
    )

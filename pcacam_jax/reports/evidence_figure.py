"""The figure of a fitted run that shows which training images are behind a decision."""

import numpy as np
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.cam.evidence import Evidence, evidence
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.reports.figures import words
from pcacam_jax.scikit.svm import expansion_of


def evidence_of(fitted: Fitted, rows: np.ndarray, target: str, *, count: int = 8, scale_free: bool = False) -> Evidence:
    """Return :func:`pcacam_jax.evidence` of test images of a run, for a linear SVM too.

    ``indices`` of the result count in the order of the SVM's ``support_``, as :func:`training_rows` reads it.

    Raises:
        InputError: as :func:`pcacam_jax.evidence`.
    """
    name = target.partition(":")[0] if isinstance(target, str) else ""
    check_choice("the SVM of target", name, fitted.svms)
    support = expansion_of(fitted.svms[name], collapse=False)
    maps = np.array(fitted.maps["test"][rows], np.float32)
    return evidence(fitted.head, maps, target, count=count, support=support, scale_free=scale_free)


def training_rows(fitted: Fitted, target: str, indices: np.ndarray) -> np.ndarray:
    """Return which training images the support vectors of a target's SVM are, given their indices."""
    return fitted.svms[target.partition(":")[0]].support_[indices]


def evidence_figure(
    fitted: Fitted, row: int, target: str = "svm_rbf:predicted", *, count: int = 5, scale_free: bool = False
) -> Figure:
    """Return a figure of the training images behind the decision on one test image.

    Args:
        fitted: a fitted run.
        row: the test image.
        target: one class of one SVM, as in :func:`pcacam_jax.evidence`.
        count: training images to show.
        scale_free: as in :func:`pcacam_jax.evidence`.

    Raises:
        InputError: no such image or target, or a gradient that underflowed, so that no image is behind it.
    """
    images = fitted.dataset.test
    if isinstance(row, bool) or not 0 <= row < len(images):
        raise InputError(f"row must be a test image, 0 to {len(images) - 1}; got {row}.")
    found = evidence_of(fitted, np.array([row]), target, count=count, scale_free=scale_free)
    if found.vanished[0] or not np.isfinite(np.asarray(found.shares)).all():
        raise InputError(
            f"the map of {target} on test image {row} is zero everywhere or its gradient underflowed, so it has no "
            "parts to show; after underflow, scale_free=True brings an RBF machine's back."
        )
    train, size = fitted.dataset.train, fitted.config.size
    rows = training_rows(fitted, target, np.asarray(found.indices[0]))
    witnesses = plots.Witnesses(
        images=list(train.images(rows, size)),
        names=[fitted.dataset.class_names[label] for label in train.labels[rows]],
        maps=np.asarray(found.maps[0]),
        shares=np.asarray(found.shares[0]),
        coefficients=np.asarray(found.coefficients[0]),
        distances=np.asarray(found.distances[0]),
        influences=np.asarray(found.influences[0]),
    )
    decided = words(target, str(found.labels[0]), fitted.head.space(target.partition(":")[0]))
    return plots.decision_evidence(
        images.images(np.array([row]), size)[0],
        found.signed[0],
        witnesses,
        found.rest[0],
        title=f"{decided} = {float(found.values[0]):.3g}",
        others=found.support_vectors - len(rows),
        critical_distance=found.critical_distance,
    )

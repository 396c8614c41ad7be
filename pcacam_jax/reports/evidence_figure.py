"""The figure that shows which training images contribute most to an SVM decision of a fitted or loaded run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int, UInt8
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.cam.evidence import Evidence, evidence
from pcacam_jax.cam.explain import explain
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.reports.figures import words
from pcacam_jax.scikit.svm import expansion_of
from pcacam_jax.stages import KernelExpansion, OneVsOneExpansion


class LoadedRun(Protocol):
    """What the figure needs of a run that :func:`pcacam_jax.load` returns."""

    @property
    def config(self) -> FitConfig:
        """The settings of the fit."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        ...

    @property
    def head(self) -> HybridHead:
        """The head."""
        ...

    @property
    def dataset(self) -> Any:
        """The images of the fit."""
        ...

    @property
    def reference(self) -> Any:
        """What the run says of its training images."""
        ...

    def load_images(self, paths: str | Path) -> np.ndarray:
        """Read an image file."""
        ...

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the feature maps of images."""
        ...

    def compare(self, explanation: Explanation) -> Sequence[Sequence[Any]]:
        """Return how the values of an explanation compare."""
        ...

    def support_expansion(self, name: str) -> KernelExpansion | OneVsOneExpansion | None:
        """Return the support vectors of an SVM if the head does not hold them."""
        ...

    def training_images(self, rows: np.ndarray) -> np.ndarray:
        """Return training images."""
        ...


def evidence_of(
    fitted: Fitted | LoadedRun,
    rows: np.ndarray,
    target: str,
    *,
    method: str = "hirescam",
    count: int = 8,
    scale_free: bool = False,
) -> Evidence:
    """Return :func:`pcacam_jax.evidence` of test images of a run, also for a linear SVM.

    Args:
        fitted: a fitted run, or a loaded one.
        rows: indices of test images, (B,).
        target: one class of one SVM, as in :func:`pcacam_jax.evidence`.
        method: as in :func:`pcacam_jax.evidence`.
        count: the number of support vectors to return separately.
        scale_free: as in :func:`pcacam_jax.evidence`.

    Returns:
        The evidence. Its ``indices`` refer to the SVM's ``support_``; :func:`training_rows` converts them to training
        images.

    Raises:
        InputError: ``target`` names no SVM of the run, a loaded run cannot read its images again, or
            :func:`pcacam_jax.evidence` raises.
    """
    name = _svm_of(fitted, target)
    if isinstance(fitted, Fitted):
        maps = fitted.tap_maps["test"][rows]
    else:
        maps = fitted.features(fitted.dataset.test.images(rows, fitted.config.size))
    return _evidence(fitted, name, maps, target, method=method, count=count, scale_free=scale_free)


def _svm_of(fitted: Fitted | LoadedRun, target: str) -> str:
    name = target.partition(":")[0] if isinstance(target, str) else ""
    return check_choice("the SVM of target", name, fitted.head.svm_names)


def _evidence(fitted: Fitted | LoadedRun, name: str, maps: np.ndarray, target: str, **options: Any) -> Evidence:
    if isinstance(fitted, Fitted):
        support = expansion_of(fitted.svms[name], collapse=False)
    else:
        support = fitted.support_expansion(name)
    return evidence(fitted.head, maps, target, support=support, **options)


def training_rows(fitted: Fitted | LoadedRun, target: str, indices: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """Return the training images of the support vectors ``indices`` of a target's SVM, as indices of the same shape.

    Raises:
        InputError: the run was loaded from a folder of an earlier version, which does not record them.
    """
    name = target.partition(":")[0]
    support = fitted.svms[name].support_ if isinstance(fitted, Fitted) else fitted.reference.support[name]
    return support[indices]


def evidence_figure(
    fitted: Fitted | LoadedRun,
    row: int | str | Path | UInt8[np.ndarray, "size size 3"],
    target: str = "svm_rbf:predicted",
    *,
    method: str = "hirescam",
    count: int = 5,
    scale_free: bool = False,
) -> Figure:
    """Return a figure of the training images that contribute most to the decision on one image.

    Args:
        fitted: a fitted run, or a loaded one. A loaded run reads its training images again from where they came from;
            if they are not there any more, it shows their thumbnails (``pcacam fit --thumbnails``).
        row: the index of a test image; for a loaded run also an image file, or an image (size, size, 3).
        target: one class of one SVM, as in :func:`pcacam_jax.evidence`.
        method: as in :func:`pcacam_jax.evidence`.
        count: the number of training images to show.
        scale_free: as in :func:`pcacam_jax.evidence`.

    Returns:
        The figure of :func:`pcacam_jax.plots.decision_evidence`. For a loaded run it says how the value of the decision
        compares with those of the other classes and of the training images.

    Raises:
        InputError: the image or the target does not exist, the images of a loaded run cannot be read again, or the map
            is zero everywhere or its gradient underflowed.
    """
    name = _svm_of(fitted, target)
    image, maps, described = _image_of(fitted, row)
    explained = _evidence(fitted, name, maps, target, method=method, count=count, scale_free=scale_free)
    if explained.vanished[0] or not np.isfinite(np.asarray(explained.shares)).all():
        raise InputError(
            f"the map of {target} on {described} is zero everywhere or its gradient underflowed, so there are no "
            "contributions to show; if the gradient of an RBF SVM underflowed, pass scale_free=True."
        )
    rows = training_rows(fitted, target, np.asarray(explained.indices[0]))
    images, names = _training(fitted, rows)
    support_images = plots.SupportImages(
        images=list(images),
        names=names,
        maps=np.asarray(explained.maps[0]),
        shares=np.asarray(explained.shares[0]),
        coefficients=np.asarray(explained.coefficients[0]),
        distances=np.asarray(explained.distances[0]),
        influences=np.asarray(explained.influences[0]),
    )
    decision = words(target, str(explained.labels[0]), fitted.head.space(name))
    return plots.decision_evidence(
        image,
        explained.signed[0],
        support_images,
        explained.rest[0],
        title=f"{decision} = {float(explained.values[0]):.3g}",
        others=explained.support_vectors - len(rows),
        critical_distance=explained.critical_distance,
        comparison=_comparison(fitted, maps, target),
    )


def _comparison(fitted: Fitted | LoadedRun, maps: np.ndarray, target: str) -> str:
    """Return how the value of the decision compares; an empty text for a fitted run."""
    if isinstance(fitted, Fitted):
        return ""
    outputs = {name: values[None] for name, values in fitted.head(maps[0]).items()}
    explanation = dataclasses.replace(explain(fitted.head, maps, target), outputs=outputs)
    return fitted.compare(explanation)[0][0].summary


def _image_of(fitted: Fitted | LoadedRun, row: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """Return an image (size, size, 3), its maps at the tap (1, h, w, K) and what to call it."""
    if not isinstance(fitted, Fitted) and isinstance(row, str | Path):
        image, described = fitted.load_images(row)[0], str(row)
    elif not isinstance(fitted, Fitted) and isinstance(row, np.ndarray):
        image, described = row, "the image"
    else:
        image, described = _test_image(fitted, row), f"test image {row}"
    if isinstance(fitted, Fitted):
        return image, fitted.tap_maps["test"][[row]], described
    return image, fitted.features(image[None]), described


def _test_image(fitted: Fitted | LoadedRun, row: Any) -> np.ndarray:
    images = fitted.dataset.test
    if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < len(images):
        raise InputError(f"row must be the index of a test image, 0 to {len(images) - 1}; got {row}.")
    return images.images(np.array([row]), fitted.config.size)[0]


def _training(fitted: Fitted | LoadedRun, rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return training images and the names of their classes."""
    if isinstance(fitted, Fitted):
        train, class_names = fitted.dataset.train, fitted.dataset.class_names
        return train.images(rows, fitted.config.size), [class_names[label] for label in train.labels[rows]]
    names = [fitted.class_names[label] for label in fitted.reference.labels[rows]]
    return fitted.training_images(rows), names

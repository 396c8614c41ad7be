"""The class ``Run``: a run folder in memory, which explains new images."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

import jax
import numpy as np

from pcacam_jax.cam.explain import explain
from pcacam_jax.cam.methods import needs_images
from pcacam_jax.cam.trust import Trust, trust
from pcacam_jax.core.arrays import real_array
from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError, check_finite, check_items
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.paths import printable, user_path
from pcacam_jax.core.text import shown
from pcacam_jax.data import Dataset, load_image
from pcacam_jax.data.pictures import load_picture
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.features import extract_all
from pcacam_jax.fitting.reference import Reference
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.nets import vgg16, weights
from pcacam_jax.nets.backbone import Backbone, vgg16_backbone
from pcacam_jax.runs.comparison import Comparison, comparisons
from pcacam_jax.runs.reference_file import LINEAR, REFERENCE, read_linear_support, read_reference
from pcacam_jax.runs.source import read_again
from pcacam_jax.stages import KernelExpansion, OneVsOneExpansion


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A fitted run that explains new images. :func:`pcacam_jax.load` returns it."""

    config: FitConfig
    """The settings of the fit."""
    class_names: tuple[str, ...]
    """The names of the classes, in the order of the labels."""
    weights_digest: str
    """The digest of the VGG16 weights that the run was fitted with."""
    shortest_side: int
    """The smallest side in pixels that image files may have: 32, or less if the run was fitted on smaller images."""
    head: HybridHead
    """The fitted head, from feature maps to all outputs."""
    metrics: dict[str, Any]
    """The contents of metrics.json."""
    folder: Path
    """The run folder."""
    source: dict[str, Any] | None = None
    """The arguments of :func:`pcacam_jax.data.read_dataset` that give the images of the fit; None if not known."""
    fingerprints: dict[str, str] | None = None
    """The digests of the training and the test images."""

    __repr__ = brief_repr

    @functools.cached_property
    def reference(self) -> Reference:
        """What the run says of its training images.

        Raises:
            InputError: an earlier version fitted the run, or the file was altered.
        """
        return read_reference(self.folder)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The images of the fit, read again from where they came from.

        Raises:
            InputError: it is not known where they came from, or they are not there any more or were changed.
        """
        return read_again(self.source, self.fingerprints)

    def support_expansion(self, name: str) -> KernelExpansion | OneVsOneExpansion | None:
        """Return the support vectors of an SVM for :func:`pcacam_jax.evidence`; None if the head holds them itself."""
        return read_linear_support(self.folder) if isinstance(name, str) and name == LINEAR else None

    def training_images(self, rows: np.ndarray) -> np.ndarray:
        """Return training images: the images of the fit, or else their thumbnails.

        Raises:
            InputError: ``rows`` are no indices of training images, or the run has no thumbnails and its images cannot
                be read again.
        """
        rows = _checked_rows(rows, len(self.reference.labels))
        try:
            return self.dataset.train.images(rows, self.config.size)
        except InputError as error:
            if self.reference.thumbnails is None:
                raise InputError(f"{str(error).rstrip('.')}; or fit with --thumbnails.") from error
            return self.reference.thumbnails[rows]

    @functools.cached_property
    def params(self) -> vgg16.Params:
        """The parameters of VGG16 that the run was fitted with.

        Raises:
            InputError: the weights cannot be loaded, or their digest differs from ``weights_digest``.
        """
        path = self.config.weights
        # The weights of a deleted file can still be in the cache. The digest decides whether they are the right ones.
        params = weights.load(path if path and user_path(path).is_file() else None)
        if (digest := weights.weights_digest(params)) != self.weights_digest:
            raise InputError(
                f"this run was fitted with VGG16 weights of digest {self.weights_digest[:12]}..., but the available "
                f"weights have {digest[:12]}...; provide the original weights file or fit again."
            )
        return params

    @functools.cached_property
    def backbone(self) -> Backbone:
        """VGG16 up to the tap, for the CAM methods that change images."""
        return vgg16_backbone(self.params, **self._network_options)

    @property
    def _network_options(self) -> dict[str, str]:
        """The options of VGG16; it computes in float32 if the device does not have TensorFloat-32."""
        config = self.config
        return {"tap": config.tap, "scaling": config.scaling, "dtype": vgg16.available_dtype(config.compute)}

    def load_images(self, paths: str | Path | Sequence[str | Path]) -> np.ndarray:
        """Read image files in the same way as the images that the run was fitted on.

        Args:
            paths: one path or several.

        Returns:
            The images, (B, size, size, 3) uint8.

        Raises:
            InputError: there are no files, or a file is not an image or too small.
        """
        paths = [paths] if isinstance(paths, str | Path) else check_items("paths", paths, "a list of paths")
        if not paths:
            raise InputError("paths must name at least one image file; got none.")
        return np.stack([load_image(path, self.config.size, smallest=self.shortest_side) for path in paths])

    def features(self, images: Any) -> np.ndarray:
        """Return the feature maps of images at the tap.

        Args:
            images: (B, size, size, 3), values in 0..255.

        Returns:
            The maps, (B, h, w, K).

        Raises:
            InputError: there are no images, they have another size, or their values do not lie in 0..255.
        """
        images = np.asarray(real_array("images", images, finite=False))
        expected = (self.config.size, self.config.size, 3)
        if images.shape[1:] != expected or not len(images):
            raise InputError(f"images must have shape (B, {', '.join(map(str, expected))}); got {images.shape}.")
        if images.dtype != np.uint8:
            _check_range(images)
        return extract_all(self.params, images, **self._network_options)

    def explain(
        self, images: np.ndarray | str | Path | Sequence[str | Path], targets: str | Sequence[str], **options: Any
    ) -> Explanation:
        """Explain images.

        Args:
            images: (B, size, size, 3), values in 0..255; or the path of an image file, or several paths.
            targets: as in :func:`pcacam_jax.explain`.
            **options: further arguments of :func:`pcacam_jax.explain`.

        Returns:
            The explanation, with T heatmaps for each of the B images. For image files, it holds their names and
            original sizes.

        Raises:
            InputError: the images do not suit :meth:`features`, a file cannot be read, or :func:`pcacam_jax.explain`
                raises.
        """
        if _are_paths(images):
            paths = [images] if isinstance(images, str | Path) else images
            pictures = [load_picture(path, self.config.size, smallest=self.shortest_side) for path in paths]
            explanation = self.explain(np.stack([picture.pixels for picture in pictures]), targets, **options)
            names = tuple(printable(Path(path).name) for path in paths)
            sizes = tuple(picture.size for picture in pictures)
            return dataclasses.replace(explanation, image_names=names, image_sizes=sizes)
        maps = self.features(images)
        if needs_images(options.get("method", "hirescam")):
            options = {"images": images, "backbone": self.backbone, **options}
        explanation = explain(self.head, maps, targets, **options)
        return dataclasses.replace(explanation, outputs=dict(_outputs(self.head, maps)))

    def trust(self, explanation: Explanation, images: Any) -> Trust:
        """Return what speaks for and against the maps of an explanation.

        Args:
            explanation: the result of :meth:`explain`.
            images: the images that it explains, ``(B, size, size, 3)``, or the paths of their files.

        Returns:
            The numbers and sentences of :func:`pcacam_jax.cam.trust.trust`, with this run's training images as
            reference, if they are known.

        Raises:
            InputError: the explanation is not one of this run and these images.
        """
        maps = self.features(self.load_images(images) if _are_paths(images) else images)
        reference = self.reference if (self.folder / REFERENCE).is_file() else None
        return trust(explanation, self.head, maps, reference)

    def compare(self, explanation: Explanation) -> list[list[Comparison]]:
        """Compare the values of an explanation with those of the other classes and of the training images.

        Args:
            explanation: the result of :meth:`explain`.

        Returns:
            For each of the B images, T comparisons; each has a ``sentence``.

        Raises:
            InputError: the explanation comes from elsewhere, or an earlier version fitted the run.
            TypeError: ``explanation`` is no explanation.
        """
        return comparisons(explanation, self.head, self.reference)


def _are_paths(images: Any) -> TypeGuard[str | Path | Sequence[str | Path]]:
    paths = [images] if isinstance(images, str | Path) else images
    return isinstance(paths, list | tuple) and bool(paths) and all(isinstance(path, str | Path) for path in paths)


def _checked_rows(rows: Any, count: int) -> np.ndarray:
    checked = np.asarray(real_array("rows", rows))
    if checked.dtype.kind not in "iu" or checked.ndim != 1 or (checked < 0).any() or (checked >= count).any():
        raise InputError(f"rows must be indices of the {count} training images, 0 to {count - 1}; got {shown(rows)}.")
    return checked


@jax.jit
def _outputs(head: HybridHead, maps: Any) -> dict[str, Any]:
    return jax.vmap(head)(maps)


def _check_range(images: np.ndarray) -> None:
    check_finite("images", images)
    lowest, highest = float(images.min()), float(images.max())
    if lowest < 0 or highest > 255 or (0 < highest <= 1 and images.dtype.kind == "f"):
        raise InputError(
            f"images must have values in 0..255; got {lowest:g} to {highest:g}: undo any scaling before the call."
        )

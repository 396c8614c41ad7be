"""Save and load run folders.

A run folder contains config.json, metrics.json, model.safetensors, verification.json, verification_point.safetensors,
reference.safetensors, linear_support.safetensors, report.json and figures/. The file verification_point.safetensors
holds the feature maps at which the head was verified, so a run can be verified again without its images and without the
weights of VGG16. The file reference.safetensors holds what the run says of its training images. Folders of schema 1
have neither reference.safetensors nor linear_support.safetensors.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.cam.explain import explain
from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import SMALLEST_SIZE, InputError, check_finite
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.files import read_json, write_json
from pcacam_jax.core.progress import Progress
from pcacam_jax.core.version import __version__
from pcacam_jax.data import Dataset, load_image
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.features import extract_all
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.fitting.reference import Reference
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.nets import vgg16, weights
from pcacam_jax.runs.comparison import Comparison, comparisons
from pcacam_jax.runs.reference_file import LINEAR, read_linear_support, read_reference, write_reference
from pcacam_jax.runs.source import fingerprints, read_again
from pcacam_jax.serialization import store
from pcacam_jax.stages import KernelExpansion
from pcacam_jax.verification.certificate import Certificate, verify

SCHEMA = 2
READABLE = (1, 2)
CONFIG, METRICS, MODEL = "config.json", "metrics.json", "model.safetensors"
CERTIFICATE, POINT = "verification.json", "verification_point.safetensors"
EXPLANATIONS = "explanations"
SIGN_RULE = "the loading of largest magnitude of every component is positive"


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

    def support_expansion(self, name: str) -> KernelExpansion | None:
        """Return the support vectors of an SVM for :func:`pcacam_jax.evidence`; None if the head holds them itself."""
        return read_linear_support(self.folder) if name == LINEAR else None

    def training_images(self, rows: np.ndarray) -> np.ndarray:
        """Return training images: the images of the fit, or else their thumbnails.

        Raises:
            InputError: the run has no thumbnails, and its images cannot be read again.
        """
        try:
            return self.dataset.train.images(rows, self.config.size)
        except InputError as error:
            if self.reference.thumbnails is None:
                raise InputError(f"{str(error).rstrip('.')}; or fit with --thumbnails.") from error
            return self.reference.thumbnails[rows]

    __repr__ = brief_repr

    @functools.cached_property
    def params(self) -> vgg16.Params:
        """The parameters of VGG16 that the run was fitted with.

        Raises:
            InputError: the weights cannot be loaded, or their digest differs from ``weights_digest``.
        """
        path = self.config.weights
        # The weights of a deleted file can still be in the cache. The digest decides whether they are the right ones.
        params = weights.load(path if path and Path(path).is_file() else None)
        if (digest := weights.weights_digest(params)) != self.weights_digest:
            raise InputError(
                f"this run was fitted with VGG16 weights of digest {self.weights_digest[:12]}..., but the available "
                f"weights have {digest[:12]}...; provide the original weights file or fit again."
            )
        return params

    def load_images(self, paths: str | Path | Sequence[str | Path]) -> np.ndarray:
        """Read image files in the same way as the images that the run was fitted on.

        Args:
            paths: one path or several.

        Returns:
            The images, (B, size, size, 3) uint8.

        Raises:
            InputError: there are no files, or a file is not an image or too small.
        """
        paths = [paths] if isinstance(paths, str | Path) else list(paths)
        if not paths:
            raise InputError("paths must name at least one image file; got none.")
        return np.stack([load_image(path, self.config.size, smallest=self.shortest_side) for path in paths])

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the feature maps of images at the tap.

        Args:
            images: (B, size, size, 3), values in 0..255.

        Returns:
            The maps, (B, h, w, K).

        Raises:
            InputError: there are no images, they have another size, or their values do not lie in 0..255.
        """
        images = np.asarray(images)
        expected = (self.config.size, self.config.size, 3)
        if images.shape[1:] != expected or not len(images):
            raise InputError(f"images must have shape (B, {', '.join(map(str, expected))}); got {images.shape}.")
        if images.dtype != np.uint8:
            _check_range(images)
        options = {"tap": self.config.tap, "scaling": self.config.scaling, "dtype": self.config.compute}
        return extract_all(self.params, images, **options)

    def explain(self, images: np.ndarray, targets: str | Sequence[str], **options: Any) -> Explanation:
        """Explain images.

        Args:
            images: (B, size, size, 3), values in 0..255.
            targets: as in :func:`pcacam_jax.explain`.
            **options: further arguments of :func:`pcacam_jax.explain`.

        Returns:
            The explanation, with T heatmaps for each of the B images.

        Raises:
            InputError: the images do not suit :meth:`features`, or :func:`pcacam_jax.explain` raises.
        """
        maps = self.features(images)
        explanation = explain(self.head, maps, targets, **options)
        return dataclasses.replace(explanation, outputs=dict(_outputs(self.head, maps)))

    def compare(self, explanation: Explanation) -> list[list[Comparison]]:
        """Compare the values of an explanation with those of the other classes and of the training images.

        Args:
            explanation: the result of :meth:`explain`.

        Returns:
            For each of the B images, T comparisons; each has a ``sentence``.

        Raises:
            InputError: the explanation comes from elsewhere, or an earlier version fitted the run.
        """
        return comparisons(explanation, self.head, self.reference)


@jax.jit
def _outputs(head: HybridHead, maps: np.ndarray) -> dict[str, Any]:
    return jax.vmap(head)(maps)


def _check_range(images: np.ndarray) -> None:
    check_finite("images", images)
    lowest, highest = float(images.min()), float(images.max())
    if lowest < 0 or highest > 255 or (0 < highest <= 1 and images.dtype.kind == "f"):
        raise InputError(
            f"images must have values in 0..255; got {lowest:g} to {highest:g}: undo any scaling before the call."
        )


def save(fitted: Fitted, folder: Path, *, source: dict[str, Any] | None = None, thumbnails: bool = False) -> None:
    """Write all files of a fitted run except the figures and the report into ``folder``.

    Args:
        fitted: the run.
        folder: the folder to write to.
        source: the arguments of :func:`pcacam_jax.data.read_dataset` that give the dataset of the run, if there are.
        thumbnails: whether small copies of all training images are saved.
    """
    fit_config = dataclasses.asdict(fitted.config)
    if fitted.config.weights:
        fit_config["weights"] = str(Path(fitted.config.weights).expanduser().absolute())
    config = {
        "schema": SCHEMA,
        "version": __version__,
        "data": fitted.dataset.name,
        "class_names": list(fitted.dataset.class_names),
        "shortest_side": min(SMALLEST_SIZE, fitted.dataset.train.shortest_side),
        "weights_digest": fitted.weights_digest,
        "source": source,
        "fingerprints": fingerprints(fitted.dataset),
        "component_signs": SIGN_RULE,
        "fit": fit_config,
    }
    training = dataclasses.asdict(dataclasses.replace(fitted.training, layers=[]))
    del training["layers"]
    write_json(folder / CONFIG, config)
    write_json(folder / METRICS, {**fitted.metrics, "training": training, "timings": fitted.timings})
    store.save(folder / MODEL, fitted.head)
    write_json(folder / CERTIFICATE, fitted.certificate.as_dict())
    write_arrays(folder / POINT, {"maps": fitted.point})
    write_reference(folder, fitted, thumbnails=thumbnails)


def load(folder: str | Path) -> Run:
    """Load a run folder.

    Args:
        folder: a folder written by ``pcacam fit`` or :func:`pcacam_jax.runs.make_run.make_run`.

    Returns:
        The run.

    Raises:
        InputError: the folder is not a run folder, a file is missing or was altered, or the schema version is unknown.
    """
    _check_files(Path(folder), CONFIG, METRICS, MODEL, CERTIFICATE, POINT)
    return _read(Path(folder))


def verify_run(folder: str | Path, *, progress: Progress | None = None) -> Certificate:
    """Verify the head of a run again, at the feature maps of its first test image, which the run folder contains.

    The file verification.json is not needed.

    Args:
        folder: the run folder.
        progress: where progress is shown; nowhere by default.

    Returns:
        The certificate, as :func:`pcacam_jax.verify` returns it.

    Raises:
        InputError: the folder is not a run folder, a file is missing or was altered, or the schema version is unknown.
    """
    folder = Path(folder)
    _check_files(folder, CONFIG, METRICS, MODEL, POINT)
    head = _read(folder).head
    arrays, _ = read_arrays(folder / POINT)
    if arrays.keys() != {"maps"} or arrays["maps"].shape != head.in_shape:
        raise InputError(f"{folder / POINT} must hold maps of shape {head.in_shape} for this run's head; fit it again.")
    with (progress or Progress(quiet=True)).bar("certificate", 1) as advance:
        certificate = verify(head, jnp.asarray(arrays["maps"]), name="head")
        advance(1)
    return certificate


def _check_files(folder: Path, *names: str) -> None:
    if not folder.is_dir():
        raise InputError(f"the run folder {folder} does not exist; make one with: pcacam fit --data SOURCE --out RUN.")
    for name in names:
        if not (folder / name).is_file():
            remedy = f"make it with: pcacam verify {folder}" if name == CERTIFICATE else "fit it again"
            raise InputError(f"the run folder {folder} lacks {name}; {remedy}.")


def _read(folder: Path) -> Run:
    config = read_json(folder / CONFIG)
    schema = config.get("schema") if isinstance(config, dict) else None
    if schema not in READABLE:
        raise InputError(
            f"{folder} has schema version {schema}, but this version reads {' and '.join(map(str, READABLE))}; fit the "
            "run again."
        )
    head, metrics = store.restore(folder / MODEL), read_json(folder / METRICS)
    if not isinstance(head, HybridHead):
        raise InputError(f"{folder / MODEL} must hold a HybridHead; got {type(head).__name__}; fit it again.")
    try:
        fit_config = FitConfig(**config["fit"])
        run = Run(
            fit_config,
            tuple(config["class_names"]),
            config["weights_digest"],
            config["shortest_side"],
            head,
            metrics,
            folder.absolute(),
            config.get("source"),
            config.get("fingerprints"),
        )
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{folder / CONFIG} is not the configuration of a run ({error}); fit it again.") from error
    maps_shape = vgg16.maps_shape((fit_config.size, fit_config.size), fit_config.tap)
    if head.in_shape != maps_shape or head.outputs["cnn"] != run.class_names:
        raise InputError(f"{folder / CONFIG} and {MODEL} beside it do not belong to the same run; fit it again.")
    return run

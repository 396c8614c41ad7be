"""Save and load run folders.

A run folder contains config.json, metrics.json, model.safetensors, verification.json, verification_point.safetensors,
reference.safetensors, linear_support.safetensors, report.json and figures/. The file verification_point.safetensors
holds the feature maps at which the head was verified, so a run can be verified again without its images and without the
weights of VGG16. The file reference.safetensors holds what the run says of its training images. Folders of schema 1
have neither reference.safetensors nor linear_support.safetensors.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.checks import SMALLEST_SIZE, InputError
from pcacam_jax.core.files import read_json, write_json
from pcacam_jax.core.paths import printable, user_path
from pcacam_jax.core.progress import Progress
from pcacam_jax.core.version import __version__
from pcacam_jax.core.written import write_sealed_json
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.nets import vgg16
from pcacam_jax.runs.loaded_run import Run
from pcacam_jax.runs.reference_file import LINEAR_SUPPORT, REFERENCE, write_reference
from pcacam_jax.runs.source import fingerprints
from pcacam_jax.serialization import store
from pcacam_jax.verification.certificate import Certificate, verify

SCHEMA = 2
READABLE = (1, 2)
CONFIG, METRICS, MODEL = "config.json", "metrics.json", "model.safetensors"
CERTIFICATE, POINT = "verification.json", "verification_point.safetensors"
EXPLANATIONS, DIVISION = "explanations", "split.json"
RUN_PARTS = (CONFIG, METRICS, MODEL, CERTIFICATE, POINT, REFERENCE, LINEAR_SUPPORT, DIVISION)
"""The files that :func:`save` writes."""
SIGN_RULE = "the loading of largest magnitude of every component is positive"


def save(fitted: Fitted, folder: Path, *, source: dict[str, Any] | None = None, thumbnails: bool = False) -> None:
    """Write all files of a fitted run except the figures and the report into ``folder``; replace only those of a run.

    Args:
        fitted: the run.
        folder: the folder to write to.
        source: the arguments of :func:`pcacam_jax.data.read_dataset` that give the dataset of the run, if there are.
        thumbnails: whether small copies of all training images are saved.

    Raises:
        InputError: ``folder`` is not a run, but contains a file of one of these names.
    """
    folder = user_path(folder)
    if not is_run_configuration(folder / CONFIG):
        for path in (folder / name for name in RUN_PARTS):
            if path.is_symlink() or path.exists():
                raise InputError(f"{printable(path)} exists, but is not part of a run; choose a new or empty folder.")
    fit_config = dataclasses.asdict(fitted.config)
    if fitted.config.weights:
        fit_config["weights"] = str(user_path(fitted.config.weights).absolute())
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
    write_sealed_json(folder / CERTIFICATE, fitted.certificate.as_dict())
    write_arrays(folder / POINT, {"maps": fitted.point})
    write_reference(folder, fitted, thumbnails=thumbnails)
    if fitted.dataset.division is not None:
        write_json(folder / DIVISION, fitted.dataset.division)
    else:
        (folder / DIVISION).unlink(missing_ok=True)


def is_run_configuration(path: Path) -> bool:
    """Return whether a file is the config.json of a run, of any schema."""
    try:
        config = read_json(path)
    except InputError:
        return False
    return isinstance(config, dict) and {"schema", "class_names", "weights_digest", "fit"} <= config.keys()


def load(folder: str | Path) -> Run:
    """Load a run folder.

    Args:
        folder: a folder written by ``pcacam fit`` or :func:`pcacam_jax.runs.make_run.make_run`.

    Returns:
        The run.

    Raises:
        InputError: the folder is not a run folder, a file is missing or was altered, or the schema version is unknown.
    """
    folder = user_path(folder)
    _check_files(folder, CONFIG, METRICS, MODEL, CERTIFICATE, POINT)
    return _read(folder)


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
    folder = user_path(folder)
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
    if not os.path.isdir(folder):  # Path.is_dir raises an OSError for a name that is too long
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

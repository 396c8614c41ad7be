"""Explain image files and save a figure, the maps and the values of each."""

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pcacam_jax.cam.explain import scale_free_head
from pcacam_jax.cam.images import ImageOptions
from pcacam_jax.cam.methods import METHODS, cam_method, needs_images
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.files import writable_folder
from pcacam_jax.core.paths import identities, printable, user_path
from pcacam_jax.core.progress import CACHED, Advance, Progress
from pcacam_jax.core.version import __version__
from pcacam_jax.data.images import decode_file
from pcacam_jax.data.names import existing_file
from pcacam_jax.data.pictures import LoadedPicture, load_picture
from pcacam_jax.fitting.features import BATCH
from pcacam_jax.head.targets import parse_targets
from pcacam_jax.reports.figures import FIGURES
from pcacam_jax.runs.explanation_files import Beside, check_results, earlier_report, file_digest, write_results
from pcacam_jax.runs.image_paths import ImagePath, find_images
from pcacam_jax.runs.loaded_run import Run
from pcacam_jax.runs.reference_file import REFERENCE
from pcacam_jax.runs.run import MODEL, load
from pcacam_jax.stages.jacobian import BACKENDS


class ExplainedFiles(NamedTuple):
    """What :func:`explain_files` did."""

    reports: list[dict[str, Any]]
    """The contents of the .json files, in the order of the images."""
    reused: int
    """How many of them an earlier call wrote."""
    unreadable: Sequence[Path]
    """The images in folders that could not be read."""


def explain_files(
    run_folder: Path,
    paths: Sequence[Path],
    targets: Sequence[str],
    out: Path,
    *,
    method: str = "hirescam",
    backend: str = "closed_form",
    scale_free: bool = False,
    samples: int | None = None,
    noise: float = 0.15,
    seed: int = 0,
    trust: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> ExplainedFiles:
    """Write NAME.png, NAME.npz and NAME.json to ``out`` for every image file.

    The .npz file holds ``positive`` and ``negative``, both (T, h, w), and ``values``, ``targets``, ``labels`` and
    ``vanished``, all (T,), and ``original_size``, the height and width in pixels of the upright image. Results of the
    same request for the same image and the same run are not computed again. An image in a folder that cannot be read
    is skipped with a warning.

    Args:
        run_folder: a folder written by :func:`pcacam_jax.runs.make_run.make_run`.
        paths: image files and folders, see :func:`pcacam_jax.runs.image_paths.find_images`.
        targets: what to explain, as in :func:`pcacam_jax.explain`; :func:`default_targets` if empty.
        out: the output folder, created if it does not exist.
        method: as in :func:`pcacam_jax.explain`.
        backend: as in :func:`pcacam_jax.explain`.
        scale_free: as in :func:`pcacam_jax.explain`.
        samples: as in :func:`pcacam_jax.explain`.
        noise: as in :func:`pcacam_jax.explain`.
        seed: as in :func:`pcacam_jax.explain`.
        trust: whether to write beside every map what speaks for and against it, see
            :func:`pcacam_jax.cam.trust.trust`.
        force: compute all results again, and replace any files at the paths of the results.
        progress: where progress is shown; nowhere by default.

    Returns:
        The reports, and what was reused and skipped.

    Raises:
        InputError: the folder is not a run, an image that ``paths`` names cannot be read, no image of the folders can
            be read, a target, the method or the backend is unknown, two images have the same name, a result would
            replace another file, or ``out`` cannot be written to.
    """
    run_folder, out, progress = user_path(run_folder), user_path(out), progress or Progress(quiet=True)
    run = load(run_folder)
    targets = list(targets) or default_targets(run)
    parsed = parse_targets(run.head, targets)
    chosen = cam_method(method)
    check_choice("backend", backend, BACKENDS)
    if scale_free:
        scale_free_head(run.head, parsed, backend, chosen)
    ImageOptions.checked(True, None, samples, noise, seed, METHODS["hirescam"])
    options: dict[str, Any] = {"method": method, "backend": backend, "scale_free": scale_free}
    # Requests without samples are those of earlier versions, whose results are recognised.
    if needs_images(chosen):
        options |= {"samples": samples, "noise": noise, "seed": seed}
    elif chosen.samples:
        options |= {"samples": samples, "seed": seed}
    images = find_images([user_path(path) for path in paths], skipped=(out, run_folder))
    with progress.bar("explanations", len(images)) as advance:
        request = {"targets": targets, **options, **_origin(run, run_folder), **({"trust": True} if trust else {})}
        plan = _plan(images, request, out, run, run_folder, force, advance)
        computed = _compute(plan, run, targets, options, trust, out, advance)
    reports = plan.reports | computed
    if not reports:
        raise InputError(f"none of the {len(images)} images could be read; check the files.")
    return ExplainedFiles([reports[image] for image in images if image in reports], len(plan.reports), plan.unreadable)


class _Plan(NamedTuple):
    """What there is already, what is left to compute, and what cannot be read."""

    reports: dict[ImagePath, dict[str, Any]]
    requests: dict[ImagePath, dict[str, Any]]
    unreadable: list[Path]


def _plan(
    images: Sequence[ImagePath],
    request: dict[str, Any],
    out: Path,
    run: Run,
    run_folder: Path,
    force: bool,
    advance: Advance,
) -> _Plan:
    """Check all inputs and outputs before anything is written."""
    plan = _Plan({}, {}, [])
    weights = [run.config.weights] if run.config.weights else []
    parts = (path for place in (run_folder, run_folder / FIGURES) for path in place.glob("*") if path.is_file())
    reads = identities([*(image.path for image in images), *parts, *weights])
    for image in images:
        try:
            answer = {**request, "image_sha256": file_digest(existing_file(image.path, "the image"))}
            report = None if force else earlier_report(out, image, answer)
            if report is None and image.listed:
                decode_file(image.path, smallest=run.shortest_side)
        except InputError as error:
            _skip(image, error, plan, advance)
            continue
        if report is not None:
            plan.reports[image] = report
        else:
            check_results(out, image, answer, reads=reads, force=force)
            plan.requests[image] = answer
        advance(int(report is not None), CACHED)
    return plan


def _compute(
    plan: _Plan, run: Run, targets: Sequence[str], options: dict[str, Any], trust: bool, out: Path, advance: Advance
) -> dict[ImagePath, dict[str, Any]]:
    """Explain the images that are left and write their results, a batch at a time."""
    reports: dict[ImagePath, dict[str, Any]] = {}
    left = list(plan.requests)
    # Runs of earlier versions have no reference.
    spreads = run.reference.spreads if left and (run.folder / REFERENCE).is_file() else None
    if left:
        _ = run.params  # load the weights now, so that an error is raised before anything is written
        writable_folder(out)
    for start in range(0, len(left), BATCH):
        pictures = _load(left[start : start + BATCH], run, plan, advance)
        if pictures:
            pixels = np.stack([picture.pixels for picture in pictures.values()])
            explained = dataclasses.replace(
                run.explain(pixels, targets, **options),
                image_names=tuple(printable(image.path.name) for image in pictures),
                image_sizes=tuple(picture.size for picture in pictures.values()),
            )
            compared = run.compare(explained) if spreads else [None] * len(pictures)
            trusted = run.trust(explained, pixels).sentences() if trust else [None] * len(pictures)
        for index, (image, picture) in enumerate(pictures.items()):
            answer = plan.requests[image]
            beside = Beside(compared[index], spreads, trusted[index])
            reports[image] = write_results(out, image, answer, picture, explained, index, beside)
            advance(1, image.path.name)
    return reports


def _load(images: Sequence[ImagePath], run: Run, plan: _Plan, advance: Advance) -> dict[ImagePath, LoadedPicture]:
    pictures = {}
    for image in images:
        try:
            pictures[image] = load_picture(image.path, run.config.size, smallest=run.shortest_side)
        except InputError as error:
            _skip(image, error, plan, advance)
    return pictures


def _skip(image: ImagePath, error: InputError, plan: _Plan, advance: Advance) -> None:
    """Count an image of a folder as unreadable, with a warning; raise the error for a file that the user named."""
    if image.listed:
        raise error
    plan.unreadable.append(image.path)
    advance(1, CACHED)
    warnings.warn(f"skipped: {error}", stacklevel=2)


def _origin(run: Run, folder: Path) -> dict[str, Any]:
    """Return what an explanation depends on beside the image and the options."""
    settings = json.dumps(dataclasses.asdict(run.config), sort_keys=True)
    return {
        "model_sha256": file_digest(folder / MODEL),
        "settings_sha256": hashlib.sha256(settings.encode()).hexdigest(),
        "weights": run.weights_digest,
        "dtype": str(jax.dtypes.canonicalize_dtype(float)),
        "version": __version__,
    }


def default_targets(run: Run) -> list[str]:
    """Return the targets for the predicted class of every classifier and for all components."""
    return [*(f"{name}:predicted" for name in run.head.outputs if name != "pca"), "pca"]

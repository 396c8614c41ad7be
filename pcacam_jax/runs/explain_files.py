"""Explain image files and save a figure, the maps and the values of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pcacam_jax import plots
from pcacam_jax.cam.explain import scale_free_head
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.files import atomic_write, writable_folder, write_json
from pcacam_jax.fitting.features import BATCH
from pcacam_jax.head.targets import parse_targets
from pcacam_jax.reports import figures
from pcacam_jax.runs.run import Run, load
from pcacam_jax.stages.jacobian import BACKENDS


def explain_files(
    run_folder: Path,
    paths: Sequence[Path],
    targets: Sequence[str],
    out: Path,
    *,
    method: str = "gradcam",
    backend: str = "closed_form",
    scale_free: bool = False,
) -> list[dict[str, Any]]:
    """Write NAME.png, NAME.npz and NAME.json to ``out`` for every image file.

    The .npz file holds ``positive`` and ``negative``, both (T, h, w), and ``values``, ``targets``, ``labels`` and
    ``vanished``, all (T,).

    Args:
        run_folder: a folder written by :func:`pcacam_jax.runs.make_run.make_run`.
        paths: the image files.
        targets: what to explain, as in :func:`pcacam_jax.explain`; :func:`default_targets` if empty.
        out: the output folder, created if it does not exist.
        method: as in :func:`pcacam_jax.explain`.
        backend: as in :func:`pcacam_jax.explain`.
        scale_free: as in :func:`pcacam_jax.explain`.

    Returns:
        The contents of the .json files, in the order of ``paths``.

    Raises:
        InputError: the folder is not a run, an image cannot be read, a target, the method or the backend is unknown,
            two images have the same name, or ``out`` cannot be written to.
    """
    run = load(run_folder)
    targets = targets or default_targets(run)
    parsed = parse_targets(run.head, targets)
    check_choice("method", method, METHODS)
    check_choice("backend", backend, BACKENDS)
    if scale_free:
        scale_free_head(run.head, parsed, backend)
    _check_names(paths)
    images = run.load_images(paths)
    _ = run.params  # load the weights now, so that an error is raised before anything is written
    writable_folder(out)
    reports = []
    for start in range(0, len(paths), BATCH):
        batch = slice(start, start + BATCH)
        explained = run.explain(images[batch], targets, method=method, backend=backend, scale_free=scale_free)
        for index, (path, image) in enumerate(zip(paths[batch], images[batch], strict=True)):
            reports.append(_write(path, image, explained, index, out))
    return reports


def _check_names(paths: Sequence[Path]) -> None:
    by_name: dict[str, Path] = {}
    for path in paths:
        other = by_name.setdefault(path.stem, path)
        if other is not path:
            raise InputError(
                f"the results are named after the images, so {other} and {path} would overwrite each other; rename "
                "one, or explain them with two values of --out."
            )


def default_targets(run: Run) -> list[str]:
    """Return the targets for the predicted class of every classifier and for all components."""
    return [*(f"{name}:predicted" for name in run.head.outputs if name != "pca"), "pca"]


def _write(path: Path, image: np.ndarray, explained: Explanation, index: int, out: Path) -> dict[str, Any]:
    report = {
        "image": str(path),
        "method": explained.method,
        "backend": explained.backend,
        "scale_free": explained.scale_free,
        "targets": [
            {
                "target": name,
                "label": str(explained.labels[index, t]),
                "space": explained.spaces[t],
                "value": float(explained.values[index, t]),
                "vanished": bool(explained.vanished[index, t]),
            }
            for t, name in enumerate(explained.targets)
        ],
        "mixture": {name: [float(w) for w in weights[index]] for name, weights in explained.mixture.items()},
    }
    plots.save(figures.explanation(image, explained, index), out / f"{path.stem}.png")
    arrays: dict[str, Any] = {
        name: np.asarray(getattr(explained, name)[index])
        for name in ("positive", "negative", "values", "labels", "vanished")
    }
    with atomic_write(out / f"{path.stem}.npz") as temporary:
        np.savez_compressed(temporary, targets=np.array(explained.targets), **arrays)
    write_json(out / f"{path.stem}.json", report)
    return report

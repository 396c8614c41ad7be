"""Explanations of image files: a picture, raw maps and values for each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pcacam_jax import figures, plots
from pcacam_jax.checks import InputError
from pcacam_jax.explain import Explanation
from pcacam_jax.features import BATCH
from pcacam_jax.files import writable_folder, write_json, written_whole
from pcacam_jax.run import Run, load
from pcacam_jax.targets import parse_targets


def explain_files(
    run_folder: Path, paths: Sequence[Path], targets: Sequence[str], out: Path, **options: Any
) -> list[dict[str, Any]]:
    """Write NAME.png, NAME.npz and NAME.json to ``out`` for every image file; return what the .json files hold.

    The .npz holds ``positive``, ``negative`` (T, h, w), ``values`` (T,), ``targets`` and ``labels`` (T,).

    Raises:
        InputError: not a run, an unreadable image, an unknown target, two images of one name, no place to write.
    """
    run = load(run_folder)
    targets = targets or default_targets(run)
    parse_targets(run.head, targets)
    names = [path.stem for path in paths]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise InputError(f"images must have different names, since the results do; got {', '.join(sorted(repeated))} twice.")
    images = run.load_images(paths)
    writable_folder(out)
    reports = []
    for start in range(0, len(paths), BATCH):
        part = slice(start, start + BATCH)
        explained = run.explain(images[part], targets, **options)
        for index, (path, image) in enumerate(zip(paths[part], images[part], strict=True)):
            reports.append(_write(path, image, explained, index, out))
    return reports


def default_targets(run: Run) -> list[str]:
    """Return every classifier's prediction and all components."""
    return [*(f"{name}:predicted" for name in run.head.outputs if name != "pca"), "pca"]


def _write(path: Path, image: np.ndarray, explained: Explanation, index: int, out: Path) -> dict[str, Any]:
    rows = zip(explained.targets, explained.labels[index], explained.values[index], strict=True)
    report = {
        "image": str(path),
        "method": explained.method,
        "backend": explained.backend,
        "targets": [{"target": name, "label": str(label), "value": float(value)} for name, label, value in rows],
        "mixture": {name: [float(w) for w in weights[index]] for name, weights in explained.mixture.items()},
    }
    plots.save(figures.explanation(image, explained, index), out / f"{path.stem}.png")
    arrays = {name: np.asarray(getattr(explained, name)[index]) for name in ("positive", "negative", "values", "labels")}
    with written_whole(out / f"{path.stem}.npz") as temporary:
        np.savez_compressed(temporary, targets=np.array(explained.targets), **arrays)
    write_json(out / f"{path.stem}.json", report)
    return report

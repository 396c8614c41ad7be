"""The three result files of one explained image: written, and recognised when the same result is requested again."""

import hashlib
import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pcacam_jax import plots
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.files import read_json, remove_stale
from pcacam_jax.core.paths import printable
from pcacam_jax.core.written import (
    FORCE,
    check_output,
    is_written_here,
    sealed,
    write_sealed_arrays,
    write_sealed_json,
)
from pcacam_jax.data.pictures import LoadedPicture
from pcacam_jax.reports import figures
from pcacam_jax.runs.comparison import Comparison
from pcacam_jax.runs.image_paths import ImagePath

KINDS = {".png": "figure", ".npz": "maps", ".json": "explanation"}
"""The suffixes of the result files of an image in the order in which they are written, and their kinds."""


def result_paths(out: Path, image: ImagePath) -> dict[str, Path]:
    """Return the paths of the result files of an image by their suffixes."""
    return {suffix: out / f"{image.name}{suffix}" for suffix in KINDS}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"the file {printable(path)} cannot be read ({error.strerror}); check its path.") from error


def earlier_report(out: Path, image: ImagePath, request: dict[str, Any]) -> dict[str, Any] | None:
    """Return the report of an earlier explanation if it answers the same request and none of its files was changed.

    If the image was moved since, its new path is written to the report.
    """
    paths = result_paths(out, image)
    if not is_written_here(paths[".json"], "explanation"):
        return None
    report = read_json(paths[".json"])
    if report.get("request") != request or report.get("files") != _digests(paths):
        return None
    if {name: report.get(name) for name in ("image", "image_uri")} != _names(image.path):
        report = sealed({**report, **_names(image.path)})
        write_sealed_json(paths[".json"], report)
    return report


def check_results(out: Path, image: ImagePath, request: dict[str, Any], *, reads: Set[Any], force: bool) -> None:
    """Check that the result files of an image may be written.

    Raises:
        InputError: one would replace an image, a file of the run, a file that this library did not write, or the
            explanation of another image.
    """
    paths = result_paths(out, image)
    for suffix, path in paths.items():
        check_output(path, KINDS[suffix], reads=reads, overwrite=force, remedy=FORCE)
    if force or not is_written_here(paths[".json"], "explanation"):
        return
    earlier = read_json(paths[".json"])
    same_image = earlier.get("request", {}).get("image_sha256") == request["image_sha256"]
    if not same_image and earlier.get("image_uri") != _names(image.path)["image_uri"]:
        raise InputError(
            f"{printable(paths['.json'])} explains another image, {earlier['image']}, and would be replaced by the "
            f"explanation of {printable(image.path)}; {FORCE}."
        )


class Beside(NamedTuple):
    """What is written beside the maps of one image."""

    compared: Sequence[Comparison] | None
    """How the values of the image compare, for each target; None for a run of an earlier version."""
    spreads: Mapping[str, np.ndarray] | None
    """The standard deviations of the values of each output among the training images; None for such a run."""
    trusted: Sequence[str] | None
    """What speaks for and against each map; None if it was not asked for."""

    @property
    def texts(self) -> list[str] | None:
        """The text for each target; None if nothing is known."""
        summaries = [[comparison.summary for comparison in self.compared]] if self.compared else []
        both = [*summaries, *([self.trusted] if self.trusted else [])]
        return [". ".join(parts) for parts in zip(*both, strict=True)] if both else None


def write_results(
    out: Path,
    image: ImagePath,
    request: dict[str, Any],
    picture: LoadedPicture,
    explained: Explanation,
    index: int,
    beside: Beside,
) -> dict[str, Any]:
    """Write the picture, the maps and then the values of one image, each completely or not at all.

    Args:
        out: the output folder.
        image: the image file.
        request: what was requested, as :func:`earlier_report` compares it.
        picture: the image and its original size.
        explained: the explanation of several images.
        index: the number of the image among them.
        beside: what is written beside the maps.

    Returns:
        The content of the .json file.
    """
    paths = result_paths(out, image)
    for path in paths.values():
        remove_stale(path)
    figure = figures.explanation(picture.drawn, explained, index, beside.texts, beside.spreads)
    plots.save(figure, paths[".png"], overwrite=True)
    arrays = {name: np.asarray(getattr(explained, name)[index]) for name in ARRAYS}
    arrays["targets"] = np.array(explained.targets)
    arrays |= {"original_size": np.array(picture.size), "orientation": np.array(picture.orientation)}
    write_sealed_arrays(paths[".npz"], arrays)
    content = _report(image.path, picture, explained, index)
    for row, comparison in zip(content["targets"], beside.compared or (), strict=False):
        row |= {name: getattr(comparison, name) for name in COMPARED}
    for row, sentence in zip(content["targets"], beside.trusted or (), strict=False):
        row |= {"trust": sentence}
    report = sealed({**content, "request": request, "files": _digests(paths)})
    write_sealed_json(paths[".json"], report)
    return report


COMPARED = (
    "rank",
    "classes",
    "runner_up",
    "runner_up_value",
    "percentile",
    "class_name",
    "class_percentile",
    "sentence",
)
ARRAYS = ("positive", "negative", "values", "labels", "vanished")


def _report(path: Path, picture: LoadedPicture, explained: Explanation, index: int) -> dict[str, Any]:
    height, width = picture.size
    return {
        **_names(path),
        "original_size": {"height": height, "width": width},
        "orientation": picture.orientation,
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


def _names(path: Path) -> dict[str, str]:
    """Return the name of a file as the user wrote it, and its URI, which names it exactly, from any folder."""
    return {"image": printable(path), "image_uri": Path(os.path.realpath(path)).as_uri()}


def _digests(paths: dict[str, Path]) -> dict[str, str] | None:
    """Return the digests of the picture and the maps by their names, or None if one does not exist."""
    try:
        return {paths[suffix].name: file_digest(paths[suffix]) for suffix in (".png", ".npz")}
    except InputError:
        return None

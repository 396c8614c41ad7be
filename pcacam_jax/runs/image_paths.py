"""The image files that a user names, directly or by their folders, and the names of their results."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.paths import printable
from pcacam_jax.core.written import is_written_here
from pcacam_jax.data.folders import IMAGE_SUFFIXES


class ImagePath(NamedTuple):
    """An image file to explain."""

    path: Path
    """The file, as the user or the folder names it."""
    name: str
    """The path of its results below the output folder, without suffix."""
    listed: bool
    """Whether the user named the file itself, so that an error in it ends the command."""


def find_images(paths: Sequence[Path], skipped: Sequence[Path] = ()) -> list[ImagePath]:
    """Return all images that the user names, each once.

    The results of a file that is named itself have the name of the file. The results of files in a folder, at any
    depth, have the structure below this folder, or below the closest common folder of several. Hidden entries, files
    with other suffixes and figures that this library wrote are left out.

    Args:
        paths: image files and folders.
        skipped: folders below the given ones in which no images are searched, such as the output folder.

    Raises:
        InputError: a folder contains no images, or two images would have results of the same name.
    """
    listed = {os.path.realpath(path): path for path in reversed(paths) if not path.is_dir()}
    images = [ImagePath(path, path.stem, True) for path in reversed(listed.values())]
    folders = [path for path in paths if path.is_dir()]
    root = os.path.commonpath([os.path.realpath(folder) for folder in folders]) if folders else ""
    seen, without = set(listed), {os.path.realpath(path) for path in skipped}
    for folder in folders:
        files = list(_images_below(folder, without))
        if not files:
            raise InputError(
                f"the folder {printable(folder)} must hold images ({', '.join(sorted(IMAGE_SUFFIXES))}), but has none; "
                "check its path."
            )
        top = Path(os.path.relpath(os.path.realpath(folder), root))
        for file, name in _names(folder, files):
            if os.path.realpath(file) not in seen:
                seen.add(os.path.realpath(file))
                images.append(ImagePath(file, str(top / name), False))
    _check_names(images)
    return images


def _images_below(folder: Path, without: set[str]) -> Iterator[Path]:
    """Yield the image files below a folder, sorted, also behind links to folders, but each folder once."""
    visited = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, followlinks=True):
        kept = []
        for name in sorted(folders):
            place = os.path.realpath(Path(parent, name))
            if not name.startswith(".") and place not in visited | without:
                visited.add(place)
                kept.append(name)
        folders[:] = kept
        for file in (Path(parent, name) for name in sorted(files) if not name.startswith(".")):
            if file.suffix.lower() in IMAGE_SUFFIXES and not is_written_here(file, "figure"):
                yield file


def _names(folder: Path, files: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield each file with its path below ``folder`` without suffix; files that differ in the suffix only keep it."""
    stems = Counter(file.with_suffix("") for file in files)
    for file in files:
        unique = file.with_suffix("") if stems[file.with_suffix("")] == 1 else file
        yield file, unique.relative_to(folder)


def _check_names(images: Sequence[ImagePath]) -> None:
    by_name: dict[str, Path] = {}
    for image in images:
        other = by_name.setdefault(image.name, image.path)
        if other is not image.path:
            raise InputError(
                f"the results are named after the images, so {printable(other)} and {printable(image.path)} would "
                "overwrite each other; rename one, explain them with two values of --out, or give the folder that "
                "contains both."
            )

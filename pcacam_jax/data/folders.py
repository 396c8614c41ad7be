"""Image files sorted into one folder per class."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pcacam_jax.core.checks import InputError
from pcacam_jax.data.splits import FolderSplit

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def class_folders(root: Path) -> list[str]:
    """Return the sorted names of the folders in ``root``, without hidden folders.

    Raises:
        InputError: if there are no folders.
    """
    names = sorted(entry.name for entry in _visible(root) if entry.is_dir())
    if not names:
        raise InputError(f"the folder {root} must hold one folder for each class, but has none; sort the images so.")
    return names


def read_folders(root: Path, class_names: Sequence[str]) -> FolderSplit:
    """Return the image files that lie directly in the folders of the named classes.

    The files are ordered by class, then by file name. Hidden files are ignored. Any other entry that is not an image
    file is skipped with a warning.

    Raises:
        InputError: if a class has no image.
    """
    paths, labels, skipped = [], [], [entry for entry in _visible(root) if not entry.is_dir()]
    for label, name in enumerate(class_names):
        images = [entry for entry in _visible(root / name) if _is_image(entry)]
        if not images:
            raise InputError(
                f"the class folder {root / name} must hold images ({', '.join(sorted(IMAGE_SUFFIXES))}), but has none; "
                "add some or remove the folder."
            )
        paths += images
        labels += [label] * len(images)
        skipped += [entry for entry in _visible(root / name) if not _is_image(entry)]
    _warn_of_skipped(root, skipped)
    return FolderSplit(root, tuple(paths), np.array(labels, np.int64))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _visible(folder: Path) -> Iterable[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _warn_of_skipped(root: Path, skipped: Sequence[Path]) -> None:
    # Without a warning, images in an unsupported format or one folder deeper would be missing unnoticed
    if skipped:
        names = [entry.relative_to(root).as_posix() for entry in skipped[:3]]
        warnings.warn(
            f"{len(skipped)} entries under {root} are not image files and are skipped: "
            f"{', '.join(names)}{', ...' if len(skipped) > 3 else ''}",
            stacklevel=2,
        )

"""Image files sorted into one folder per class."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.paths import printable
from pcacam_jax.data.images import FORMATS
from pcacam_jax.data.names import class_name
from pcacam_jax.data.splits import FolderSplit
from pcacam_jax.data.stored_arrays import SPLIT_NAMES

IMAGE_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)


def is_undivided_folder(path: Path) -> bool:
    """Return whether the path is a folder with images in CLASS/ instead of train/CLASS/ and test/CLASS/.

    A class may be named train or test, as long as there are not both and its folder holds no folders.
    """
    if not path.is_dir():
        return False
    folders = [entry for entry in _visible(path) if entry.is_dir()]
    splits = [folder for folder in folders if folder.name in SPLIT_NAMES]
    if len(splits) == len(SPLIT_NAMES) or any(entry.is_dir() for split in splits for entry in _visible(split)):
        return False
    return any(_is_image(entry) for folder in folders for entry in _visible(folder))


def class_folders(root: Path) -> dict[str, list[Path]]:
    """Return the folders in ``root`` by the names of their classes, in sorted order, without hidden folders.

    Folders whose names differ only in their Unicode normal form belong to the same class.

    Raises:
        InputError: if there are no folders.
    """
    folders: dict[str, list[Path]] = {}
    for entry in _visible(root):
        if entry.is_dir():
            folders.setdefault(class_name(entry), []).append(entry)
    if not folders:
        raise InputError(
            f"the folder {printable(root)} must hold one folder for each class, but has none; sort the images so."
        )
    return dict(sorted(folders.items()))


def read_folders(root: Path, class_names: Sequence[str]) -> FolderSplit:
    """Return the image files that lie directly in the folders of the named classes of ``class_folders``.

    The files are ordered by class, then by file name. Hidden files are ignored. Any other entry that is not an image
    file is skipped with a warning.

    Raises:
        InputError: if a class has no image.
    """
    folders = class_folders(root)
    paths, labels, skipped = [], [], [entry for entry in _visible(root) if not entry.is_dir()]
    for label, name in enumerate(class_names):
        entries = [entry for folder in folders[name] for entry in _visible(folder)]
        images = [entry for entry in entries if _is_image(entry)]
        if not images:
            raise InputError(
                f"the class folder {printable(folders[name][0])} must hold images "
                f"({', '.join(sorted(IMAGE_SUFFIXES))}), but has none; add some or remove the folder."
            )
        paths += images
        labels += [label] * len(images)
        skipped += [entry for entry in entries if not _is_image(entry)]
    _warn_of_skipped(root, skipped)
    return FolderSplit(root, tuple(paths), np.array(labels, np.int64))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _visible(folder: Path) -> Iterable[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"the folder {printable(folder)} cannot be listed ({error.strerror}); change its permissions."
        ) from error


def _warn_of_skipped(root: Path, skipped: Sequence[Path]) -> None:
    # Without a warning, images in an unsupported format or one folder deeper would be missing unnoticed
    if skipped:
        names = [printable(entry.relative_to(root).as_posix()) for entry in skipped[:3]]
        warnings.warn(
            f"{len(skipped)} entries under {printable(root)} are not image files of a format that is read and are "
            f"skipped: {', '.join(names)}{', ...' if len(skipped) > 3 else ''}",
            stacklevel=2,
        )

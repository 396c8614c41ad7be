"""Read the paper's six datasets by name, from a folder of datasets or else from TFDS or MedMNIST."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.paths import printable, user_path
from pcacam_jax.core.text import abbreviated
from pcacam_jax.data.dataset import Dataset
from pcacam_jax.data.folders import class_folders, read_folders
from pcacam_jax.data.medmnist_source import find_medmnist
from pcacam_jax.data.npz import CLASS_NAMES
from pcacam_jax.data.paper_table import PAPER_SETS, PaperSet
from pcacam_jax.data.splits import ArraySplit
from pcacam_jax.data.stored_arrays import (
    SPLIT_NAMES,
    DatasetUnavailableError,
    StoredDataset,
    StoredSplit,
    is_divided_folder,
    is_idx,
    is_npz,
    is_npz_pair,
    read_idx_files,
    read_npz_file,
    read_npz_pair,
    require,
    stored_labels,
)
from pcacam_jax.data.tfds_source import TFDS_INFO, read_tfds


def read_paper_set(
    name: str, root: str | Path | None = None, *, limit_per_class: int | None = None, seed: int = 0
) -> Dataset:
    """Read one of the paper's datasets, with the paper's class names and their order.

    If ROOT/NAME/ holds files, they are read: train.npz and test.npz, the four idx files, one npz file with both splits
    as MedMNIST publishes it, or images in train/CLASS/ and test/CLASS/. Records of TFDS in the same folder take
    precedence, with a warning. Otherwise the dataset is loaded from the source
    given in ``PAPER_SETS``. The files may hold fewer or more images than the paper used. Their labels are the paper's
    class numbers, unless an npz file has an array ``class_names``; then label i is the class ``class_names[i]``.

    Args:
        name: a key of ``PAPER_SETS``.
        root: the folder of datasets; a dataset that TFDS prepared in this folder is used before TFDS's default folder.
        limit_per_class: the largest number of images of a class in each split; see ``Dataset.limited``.
        seed: the seed of the draw for ``limit_per_class``.

    Returns:
        The dataset, with C class names, a training split and a test split.

    Raises:
        InputError: if the name or the folder does not exist, the dataset is not available (the message says how to get
            it), or its files are not two labelled splits with images of exactly the paper's classes.
    """
    check_choice("the dataset", name, PAPER_SETS)
    paper, root = PAPER_SETS[name], None if root is None else _folder_of_datasets(root)
    if root:
        _warn_of_two_sources(root / name)
    dataset = _read_files(paper, root) if root and _holds_files(root / name) else _read_source(paper, root)
    return dataset if limit_per_class is None else dataset.limited(limit_per_class, seed)


def sets_in(root: str | Path) -> tuple[str, ...]:
    """List the paper's datasets in a folder of datasets, stored as files or as records of TFDS.

    No file is opened, so ``read_paper_set`` can still raise an error for a dataset of this list.

    Args:
        root: the folder of datasets.

    Returns:
        Keys of ``PAPER_SETS``, in the paper's order.

    Raises:
        InputError: if the folder does not exist or holds none of the datasets; the message lists what it holds.

    Example:
        >>> import pathlib, tempfile
        >>> from pcacam_jax.data import sets_in
        >>> with tempfile.TemporaryDirectory() as root:
        ...     pathlib.Path(root, "mnist", "train").mkdir(parents=True)
        ...     sets_in(root)
        ('mnist',)
    """
    root = _folder_of_datasets(root)
    names = tuple(name for name, paper in PAPER_SETS.items() if _holds_set(root, paper))
    if not names:
        raise InputError(
            f"the folder of datasets {root} must hold at least one of {', '.join(PAPER_SETS)}, but it holds "
            f"{_entries(root)}; give the folder that contains them."
        )
    return names


def _folder_of_datasets(root: str | Path) -> Path:
    root = user_path(root)
    if not root.is_dir():
        raise InputError(
            f"the folder of datasets {root} must be a folder, but there is none at this path; check the spelling."
        )
    return root


def _holds_set(root: Path, paper: PaperSet) -> bool:
    source, _, name = paper.source.partition(":")
    return _holds_files(root / paper.name) or (source == "tfds" and _holds_tfds(root / name))


def _holds_files(folder: Path) -> bool:
    """Return whether a folder is not empty and holds no dataset prepared by TFDS."""
    return folder.is_dir() and any(folder.iterdir()) and not _holds_tfds(folder)


def _holds_tfds(folder: Path) -> bool:
    return any(folder.glob(f"*/{TFDS_INFO}"))


def _warn_of_two_sources(folder: Path) -> None:
    if not folder.is_dir() or not _holds_tfds(folder):
        return
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    files = [
        entry.name
        for entry in entries
        if is_npz(entry) or (entry.is_dir() and entry.name in SPLIT_NAMES) or (entry.is_file() and is_idx(entry))
    ]
    if files:
        warnings.warn(
            f"{printable(folder)} holds records of TFDS and also {printable(abbreviated(files))}; the records are "
            "read, so move one of the two to another folder to choose.",
            stacklevel=3,
        )


def _entries(folder: Path) -> str:
    return abbreviated(sorted(entry.name for entry in folder.iterdir())) or "nothing"


def _read_files(paper: PaperSet, root: Path) -> Dataset:
    folder = root / paper.name
    archives = sorted(entry for entry in folder.iterdir() if is_npz(entry))
    if is_npz_pair(folder):
        return _assemble(paper, folder, read_npz_pair(folder))
    if is_idx(folder):
        return _assemble(paper, folder, read_idx_files(folder))
    if is_divided_folder(folder):
        paths = [require(folder / split_name, Path.is_dir) for split_name in SPLIT_NAMES]
        return Dataset(paper.name, paper.class_names, *(read_folders(path, _folders(paper, path)) for path in paths))
    if len(archives) == 1:
        return _read_archive(paper, archives[0])
    raise InputError(
        f"{folder} must hold {paper.title} as train.npz and test.npz, as one npz file with both splits, as the four "
        f"idx files, or as images in train/CLASS/ and test/CLASS/, but it holds {_entries(folder)}; "
        f"{_instructions(paper, root)}"
    )


def _read_archive(paper: PaperSet, path: Path) -> Dataset:
    stored = read_npz_file(path)
    if len(stored[0]) != len(SPLIT_NAMES):
        raise InputError(
            f"{path} must hold both train and test, but it holds one undivided split; name its arrays train_images, "
            "train_labels, test_images and test_labels."
        )
    return _assemble(paper, path, stored)


def _read_source(paper: PaperSet, root: Path | None) -> Dataset:
    """Return the dataset from the source given in ``PAPER_SETS``."""
    source, _, name = paper.source.partition(":")
    try:
        if source == "medmnist":
            return _read_archive(paper, find_medmnist(name))
        if source == "tfds":
            return _read_tfds(paper, name, root)
    except DatasetUnavailableError as error:
        raise InputError(f"{str(error).rstrip('.')}; or {_instructions(paper, root)}") from error
    raise InputError(f"{paper.title} must be given as files, but there are none; {_instructions(paper, root)}")


def _read_tfds(paper: PaperSet, name: str, root: Path | None) -> Dataset:
    # If the folder of datasets has no prepared records, read TFDS's default folder
    splits, names = read_tfds(name, paper.splits, root if root is not None and _holds_tfds(root / name) else None)
    if _match_classes(paper, names) != list(range(len(paper.class_names))):
        raise InputError(
            f"the TFDS dataset {name} must have the classes of {paper.title}, {', '.join(paper.class_names)}, in this "
            f"order, but it has {abbreviated(names)}; use the version that TFDS itself publishes."
        )
    return Dataset(paper.name, paper.class_names, *splits)


def _instructions(paper: PaperSet, root: Path | None) -> str:
    where = "" if root is not None else "; name ROOT as the folder of datasets (--data-root, data_dir)"
    return f"{paper.how.replace('ROOT', 'ROOT' if root is None else str(root))}{where}."


def _assemble(paper: PaperSet, where: Path, stored: StoredDataset) -> Dataset:
    """Return the dataset of stored splits, with labels renumbered in the paper's order of classes."""
    splits, names = stored
    indices = _match_classes(paper, paper.class_names if names is None else names)
    if indices is None:
        raise InputError(
            f"{CLASS_NAMES} in {where} must be the classes of {paper.title}, {', '.join(paper.class_names)}, in the "
            f"order of the labels, but they are {abbreviated(names or ()) or 'none'}; correct them, or leave them "
            "out if the labels are in this order."
        )
    # The inverse permutation: entry i is the paper's number of stored label i
    numbers = np.argsort(indices)
    return Dataset(paper.name, paper.class_names, *(_array_split(paper, split, numbers) for split in splits))


def _array_split(paper: PaperSet, stored: StoredSplit, numbers: NDArray[np.int64]) -> ArraySplit:
    """Return a split whose label i is replaced by the paper's class number ``numbers[i]``."""
    labels, count = stored_labels(stored), len(paper.class_names)
    values, strings = np.unique(labels), labels.dtype.kind == "U"
    if strings or not np.isin(values, np.arange(count)).all():
        raise InputError(
            f"the labels of {stored.where} must be integers in 0..{count - 1}, the {count} classes of {paper.title}, "
            f"but they are {'the strings ' if strings else ''}{abbreviated(values)}; "
            f"{'store integers' if strings else 'renumber them'}, 0 for {paper.class_names[numbers[0]]}."
        )
    renumbered = numbers[labels.astype(np.int64)]
    absent = [name for number, name in enumerate(paper.class_names) if number not in renumbered]
    if absent:
        raise InputError(
            f"{stored.where} must hold images of each class of {paper.title}, but has none of {abbreviated(absent)}; "
            "add some."
        )
    return ArraySplit(stored.images, renumbered, stored.where)


def _folders(paper: PaperSet, root: Path) -> list[str]:
    """Return the names of the class folders in ``root``, in label order."""
    names = list(class_folders(root))
    indices = _match_classes(paper, names)
    if indices is None:
        raise InputError(
            f"{root} must hold one folder for each class of {paper.title}, {', '.join(paper.class_names)}, but it "
            f"holds {', '.join(names)}; rename, add or remove folders."
        )
    return [names[index] for index in indices]


def _match_classes(paper: PaperSet, names: Sequence[str]) -> list[int] | None:
    """Return for each of the paper's classes the index of its name in ``names``; None if they do not match one to one.

    Case, punctuation and a plural s are ignored.
    """
    matches = [[i for i, name in enumerate(names) if _same_class(name, expected)] for expected in paper.class_names]
    if len(names) != len(matches) or any(len(indices) != 1 for indices in matches):
        return None
    return [indices[0] for indices in matches]


def _same_class(name: str, expected: str) -> bool:
    name, expected = (re.sub(r"[\W_]", "", text).casefold() for text in (name, expected))
    return name in (expected, f"{expected}s")

"""Read a dataset from any supported source; ``FORMATS`` lists the formats of files and folders with their readers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from pcacam_jax.core.checks import InputError, check_items
from pcacam_jax.core.paths import printable, user_path
from pcacam_jax.core.text import shown
from pcacam_jax.data.dataset import Dataset, check_seed
from pcacam_jax.data.folders import class_folders, is_undivided_folder, read_folders
from pcacam_jax.data.names import composed
from pcacam_jax.data.paper_sets import read_paper_set
from pcacam_jax.data.paper_table import PAPER_SETS
from pcacam_jax.data.splits import ArraySplit, Split
from pcacam_jax.data.stored_arrays import (
    SPLIT_NAMES,
    StoredDataset,
    StoredSplit,
    hold_out,
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
from pcacam_jax.data.tfds_source import read_tfds

EMBEDDED_SAMPLE = "fashion_mnist_sample"
TFDS_PREFIX = "tfds:"


@dataclass(frozen=True)
class ReadOptions:
    """The caller's class names, and how images without a test split are divided."""

    class_names: tuple[str, ...] | None
    test_fraction: float
    seed: int


@dataclass(frozen=True)
class FileFormat:
    """A format of a file or folder: its description, whether a path has it, and its reader."""

    description: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Dataset]


def read_dataset(
    source: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    limit_per_class: int | None = None,
    data_dir: str | Path | None = None,
) -> Dataset:
    """Read a dataset from a file, a folder or a named source.

    Args:
        source: an npz file; a folder with train.npz and test.npz, with the four idx files of MNIST, with images in
            train/CLASS/ and test/CLASS/, or with images in CLASS/; ``"fashion_mnist_sample"``, which is part of the
            package; the name of one of the paper's six datasets (``PAPER_SETS``); or ``"tfds:NAME"``, an image
            classification dataset of TensorFlow Datasets that is already prepared. An existing path takes precedence
            over a name. A leading ``~`` is the home folder.
        class_names: names in the order of the sorted label values; for class folders, the folders in label order. By
            default the file's array ``class_names``, otherwise the label values or the sorted names of the folders.
        test_fraction: the share of each class that forms the test split if the source has no test split.
        seed: the seed of that division and of the draw for ``limit_per_class``.
        limit_per_class: the largest number of images of a class in each split; see ``Dataset.limited``.
        data_dir: the folder of datasets that is searched for a named dataset; see ``read_paper_set``. For
            ``"tfds:NAME"`` the default is ``TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    Returns:
        The dataset, with C class names, a training split and a test split. ``Dataset.division`` says which images of
        a source without a test split went into each.

    Raises:
        InputError: if there is no such source, or if it does not hold two labelled splits of the same classes.

    Example:
        >>> from pcacam_jax.data import read_dataset
        >>> dataset = read_dataset("fashion_mnist_sample", limit_per_class=5)
        >>> len(dataset.train), len(dataset.test), dataset.class_names[7]
        (50, 50, 'Sneaker')
        >>> dataset.train.images([0, 1], size=96).shape
        (2, 96, 96, 3)
    """
    if not isinstance(test_fraction, Real) or not 0 < test_fraction < 1:
        raise InputError(f"test_fraction must lie between 0 and 1, got {shown(test_fraction)}; 0.2 is usual.")
    check_seed(seed)
    options = ReadOptions(_given_names(class_names), float(test_fraction), seed)
    try:
        dataset = _read(source, options, data_dir)
    except OSError as error:
        raise InputError(
            f"the data source {printable(source)} cannot be read ({error.strerror or error}); check its permissions."
        ) from error
    return dataset if limit_per_class is None else dataset.limited(limit_per_class, seed)


def _given_names(class_names: Sequence[str] | None) -> tuple[str, ...] | None:
    if class_names is None:
        return None
    names = check_items("class_names", class_names, "a sequence of names")
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"class_names must be a sequence of names, got {shown(class_names)}; put them into a list.")
    return tuple(composed(name) for name in names)


def _read(source: str | Path, options: ReadOptions, data_dir: str | Path | None) -> Dataset:
    if isinstance(source, str) and source == EMBEDDED_SAMPLE:
        return _stored_reader(read_npz_file)(Path(__file__).with_name(f"{EMBEDDED_SAMPLE}.npz"), options)
    path = user_path(source)
    for file_format in FORMATS:
        if file_format.matches(path):
            return file_format.read(path, options)
    if not path.exists() and str(source) in PAPER_SETS:
        return _read_named(str(source), options, data_dir)
    if not path.exists() and str(source).startswith(TFDS_PREFIX):
        return _read_tfds(str(source).removeprefix(TFDS_PREFIX), options, data_dir)
    if path.is_dir() and not any(path.iterdir()):
        raise InputError(f"the folder {path} must hold a dataset, but it is empty; check its path.")
    names = f"{EMBEDDED_SAMPLE}; {', '.join(PAPER_SETS)}; {TFDS_PREFIX}NAME"
    descriptions = "; ".join(file_format.description for file_format in FORMATS)
    problem = "is none of these" if path.exists() else "does not exist"
    raise InputError(
        f"a data source must be one of {names}; {descriptions}; but {printable(source)} {problem}; check the path."
    )


def _read_named(name: str, options: ReadOptions, data_dir: str | Path | None) -> Dataset:
    dataset = read_paper_set(name, data_dir)
    if options.class_names is None:
        return dataset
    if len(options.class_names) != len(dataset.class_names):
        raise InputError(
            f"{PAPER_SETS[name].title} must have {len(dataset.class_names)} class names, "
            f"{', '.join(dataset.class_names)}, but {len(options.class_names)} are given; leave them out or match them."
        )
    return replace(dataset, class_names=options.class_names)


def _read_tfds(name: str, options: ReadOptions, data_dir: str | Path | None) -> Dataset:
    splits, stored_names = read_tfds(name, data_dir=data_dir)
    names = _class_names(f"{TFDS_PREFIX}{name}", np.arange(len(stored_names)), options.class_names or stored_names)
    return _divide(name, splits[0], names, options) if len(splits) == 1 else Dataset(name, names, *splits)


def _stored_reader(read: Callable[[Path], StoredDataset]) -> Callable[[Path, ReadOptions], Dataset]:
    """Return a reader for files with stored labels, which numbers the classes in the order of the label values."""

    def read_dataset_at(path: Path, options: ReadOptions) -> Dataset:
        stored, stored_names = read(path)
        stem = path.stem if is_npz(path) else _folder_name(path if path.is_dir() else path.parent)
        names, splits = _numbered(stem, stored, options.class_names or stored_names)
        return _divide(stem, splits[0], names, options) if len(splits) == 1 else Dataset(stem, names, *splits)

    return read_dataset_at


def _read_folders(folder: Path, options: ReadOptions) -> Dataset:
    roots = [require(folder / name, Path.is_dir) for name in SPLIT_NAMES]
    train, test = (class_folders(root) for root in roots)
    _check_same_classes(printable(folder), train, test)
    names = _ordered(folder, list(train), options)
    return Dataset(_folder_name(folder), names, *(read_folders(root, names) for root in roots))


def _read_undivided_folders(folder: Path, options: ReadOptions) -> Dataset:
    names = _ordered(folder, list(class_folders(folder)), options)
    return _divide(_folder_name(folder), read_folders(folder, names), names, options)


def _ordered(folder: Path, folders: list[str], options: ReadOptions) -> tuple[str, ...]:
    """Return the class folders in the order of the caller's class names, if there are any."""
    names = options.class_names or tuple(folders)
    if sorted(names) != folders:
        raise InputError(
            f"class_names must be the class folders of {printable(folder)}, {', '.join(folders)}, in the order that "
            f"you want, but they are {', '.join(names)}; correct them or leave them out."
        )
    return names


FORMATS = (
    FileFormat(
        "an .npz file with the arrays images and labels, or train_images, train_labels, test_images and test_labels",
        is_npz,
        _stored_reader(read_npz_file),
    ),
    FileFormat("a folder with train.npz and test.npz", is_npz_pair, _stored_reader(read_npz_pair)),
    FileFormat(
        "a folder with the four idx files of MNIST or Fashion-MNIST, or one of these files",
        is_idx,
        _stored_reader(read_idx_files),
    ),
    FileFormat("a folder with images in CLASS/, which are divided", is_undivided_folder, _read_undivided_folders),
    FileFormat("a folder with images in train/CLASS/ and test/CLASS/", is_divided_folder, _read_folders),
)


def _numbered(
    name: str, stored: Sequence[StoredSplit], class_names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[ArraySplit]]:
    """Return the class names and the splits, with classes numbered in the order of the label values."""
    labels = [stored_labels(split) for split in stored]
    values = np.unique(labels[0])
    _check_same_classes(name, values.tolist(), np.unique(labels[-1]).tolist())
    splits = [
        ArraySplit(split.images, np.searchsorted(values, each).astype(np.int64), split.where)
        for split, each in zip(stored, labels, strict=True)
    ]
    return _class_names(name, values, class_names), splits


def _divide(name: str, whole: Split, names: tuple[str, ...], options: ReadOptions) -> Dataset:
    """Return the dataset of an undivided split, with the division into training and test images."""
    test = hold_out(whole.labels, names, options.test_fraction, options.seed)
    rows = {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}
    entries = whole.entries
    division: Any = {part: [entries[row] for row in part_rows] for part, part_rows in rows.items()}
    return Dataset(name, names, whole.take(rows["train"]), whole.take(rows["test"]), division=division)


def _class_names(where: str, values: np.ndarray, class_names: tuple[str, ...] | None) -> tuple[str, ...]:
    if class_names is None:
        return tuple(str(value) for value in values)
    if len(class_names) != len(values):
        raise InputError(
            f"the class names of {where} must be as many as its label values, but there are {len(class_names)} names "
            f"({', '.join(class_names)}) and {len(values)} values ({', '.join(map(str, values))}); match them."
        )
    return class_names


def _check_same_classes(where: str, train: Iterable, test: Iterable) -> None:
    only_train, only_test = (", ".join(map(str, sorted(set(a) - set(b)))) for a, b in ((train, test), (test, train)))
    if only_train or only_test:
        raise InputError(
            f"train and test of {where} must have the same classes, but they differ (only in train: "
            f"{only_train or 'none'}; only in test: {only_test or 'none'}); add images of these classes or remove "
            "them from both."
        )


def _folder_name(folder: Path) -> str:
    return printable(folder.resolve().name)

"""Where datasets come from: one small function for each kind of source, and a table that says which fits."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pcacam_jax.core.checks import InputError
from pcacam_jax.data.dataset import Dataset, check_seed
from pcacam_jax.data.folders import class_folders, read_folders
from pcacam_jax.data.paper_sets import read_paper_set
from pcacam_jax.data.paper_table import PAPER_SETS
from pcacam_jax.data.splits import ArraySplit
from pcacam_jax.data.stored_arrays import (
    PARTS,
    Part,
    Stored,
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
class Options:
    """What a caller may choose: names for the classes, and how one undivided file is divided."""

    class_names: tuple[str, ...] | None
    test_fraction: float
    seed: int


@dataclass(frozen=True)
class Kind:
    """A kind of source: its form in words, whether a path has it, and how it is read."""

    form: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, Options], Dataset]


def read_dataset(
    source: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    limit_per_class: int | None = None,
    data_dir: str | Path | None = None,
) -> Dataset:
    """Return the dataset that a source names; ``KINDS`` lists what a path may be.

    Args:
        source: the path of a file or folder; ``"fashion_mnist_sample"``; the name of one of the paper's six datasets
            (``PAPER_SETS``); ``"tfds:NAME"``, an image classification set of TensorFlow Datasets that lies prepared.
            What exists as a path is read as one.
        class_names: names in the order of the sorted label values; for class folders, the folders in label order.
            Without them: the file's own ``class_names``, else the label values, or the folders' names sorted.
        test_fraction: the share of each class that is kept for testing, where images come undivided.
        seed: of that division, and of the choice that ``limit_per_class`` makes.
        limit_per_class: at most so many images of every class in each part; see ``Dataset.limited``.
        data_dir: the folder of datasets that a named one is looked for in; see ``read_paper_set`` and ``read_tfds``.

    Raises:
        InputError: no such source, or anything in it that keeps it from being two labelled splits of the same classes.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"test_fraction must lie between 0 and 1, got {test_fraction}; 0.2 is usual.")
    check_seed(seed)
    options = Options(None if class_names is None else tuple(class_names), test_fraction, seed)
    dataset = _read(source, options, data_dir)
    return dataset if limit_per_class is None else dataset.limited(limit_per_class, seed)


def _read(source: str | Path, options: Options, data_dir: str | Path | None) -> Dataset:
    if str(source) == EMBEDDED_SAMPLE:
        return _read_stored(read_npz_file)(Path(__file__).with_name(f"{EMBEDDED_SAMPLE}.npz"), options)
    path = Path(source).expanduser()
    for kind in KINDS:
        if kind.fits(path):
            return kind.read(path, options)
    if not path.exists() and str(source) in PAPER_SETS:
        return _read_named(str(source), options, data_dir)
    if not path.exists() and str(source).startswith(TFDS_PREFIX):
        return _read_tfds(str(source).removeprefix(TFDS_PREFIX), options, data_dir)
    if path.is_dir() and not any(path.iterdir()):
        raise InputError(f"the folder {path} must hold a dataset, but it is empty; check its path.")
    named = f"{EMBEDDED_SAMPLE}; {', '.join(PAPER_SETS)}; {TFDS_PREFIX}NAME"
    forms = "; ".join(kind.form for kind in KINDS)
    found = "is none of these" if path.exists() else "does not exist"
    raise InputError(f"a data source must be {named}; {forms}; but {source} {found}; check the path.")


def _read_named(name: str, options: Options, data_dir: str | Path | None) -> Dataset:
    dataset = read_paper_set(name, data_dir)
    if options.class_names is None:
        return dataset
    if len(options.class_names) != len(dataset.class_names):
        raise InputError(
            f"{PAPER_SETS[name].title} must have {len(dataset.class_names)} class names, "
            f"{', '.join(dataset.class_names)}, but {len(options.class_names)} are given; leave them out or match them."
        )
    return replace(dataset, class_names=options.class_names)


def _read_tfds(name: str, options: Options, data_dir: str | Path | None) -> Dataset:
    splits, stored_names = read_tfds(name, data_dir=data_dir)
    names = _class_names(f"{TFDS_PREFIX}{name}", np.arange(len(stored_names)), options.class_names or stored_names)
    if len(splits) == 1:
        held_out = hold_out(splits[0].labels, names, options.test_fraction, options.seed)
        splits = [splits[0].take(~held_out), splits[0].take(held_out)]
    return Dataset(name, names, *splits)


def _read_stored(read: Callable[[Path], Stored]) -> Callable[[Path, Options], Dataset]:
    """Return a reader of files with stored labels, whose classes are numbered in the order of the labels' values."""

    def read_dataset_at(path: Path, options: Options) -> Dataset:
        parts, stored_names = read(path)
        names = options.class_names or stored_names
        stem = path.stem if is_npz(path) else _folder_name(path if path.is_dir() else path.parent)
        return _divide(stem, parts[0], names, options) if len(parts) == 1 else _assemble(stem, parts, names)

    return read_dataset_at


def _read_folders(folder: Path, options: Options) -> Dataset:
    roots = [require(folder / part, Path.is_dir) for part in PARTS]
    train, test = (class_folders(root) for root in roots)
    _check_same_classes(folder, train, test)
    names = options.class_names or tuple(train)
    if sorted(names) != train:
        raise InputError(
            f"class_names must be the class folders of {folder}, {', '.join(train)}, in the order that you want, "
            f"but they are {', '.join(names)}; correct them or leave them out."
        )
    return Dataset(_folder_name(folder), names, *(read_folders(root, names) for root in roots))


KINDS = (
    Kind(
        "an .npz file with the arrays images and labels, or train_images, train_labels, test_images and test_labels",
        is_npz,
        _read_stored(read_npz_file),
    ),
    Kind("a folder with train.npz and test.npz", is_npz_pair, _read_stored(read_npz_pair)),
    Kind(
        "a folder with the four idx files of MNIST or Fashion-MNIST, or one of these files",
        is_idx,
        _read_stored(read_idx_files),
    ),
    Kind("a folder with images in train/CLASS/ and test/CLASS/", is_divided_folder, _read_folders),
)


def _assemble(name: str, parts: Sequence[Part], class_names: tuple[str, ...] | None) -> Dataset:
    labels = [stored_labels(part) for part in parts]
    values, test_values = (np.unique(stored) for stored in labels)
    _check_same_classes(name, values.tolist(), test_values.tolist())
    splits = (
        ArraySplit(part.images, np.searchsorted(values, stored).astype(np.int64), part.where)
        for part, stored in zip(parts, labels, strict=True)
    )
    return Dataset(name, _class_names(name, values, class_names), *splits)


def _divide(name: str, part: Part, class_names: tuple[str, ...] | None, options: Options) -> Dataset:
    values, codes = np.unique(stored_labels(part), return_inverse=True)
    whole = ArraySplit(part.images, codes.astype(np.int64), part.where)
    names = _class_names(name, values, class_names)
    held_out = hold_out(whole.labels, names, options.test_fraction, options.seed)
    return Dataset(name, names, whole.take(~held_out), whole.take(held_out))


def _class_names(where: str, values: np.ndarray, class_names: tuple[str, ...] | None) -> tuple[str, ...]:
    if class_names is None:
        return tuple(str(value) for value in values)
    if len(class_names) != len(values):
        raise InputError(
            f"the class names of {where} must be as many as its label values, but there are {len(class_names)} names "
            f"({', '.join(class_names)}) and {len(values)} values ({', '.join(map(str, values))}); match them."
        )
    return class_names


def _check_same_classes(where: str | Path, train: Iterable, test: Iterable) -> None:
    only_train, only_test = (", ".join(map(str, sorted(set(a) - set(b)))) for a, b in ((train, test), (test, train)))
    if only_train or only_test:
        raise InputError(
            f"train and test of {where} must have the same classes, but only train has {only_train or 'no other'} "
            f"and only test has {only_test or 'no other'}; add images of these classes or leave them out of both."
        )


def _folder_name(folder: Path) -> str:
    return folder.resolve().name

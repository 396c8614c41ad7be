"""Where datasets come from: one small function for each kind of source, and a table that says which fits."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.checks import InputError
from pcacam_jax.data.dataset import ArraySplit, Dataset
from pcacam_jax.data.folders import class_folders, read_folders
from pcacam_jax.data.idx import IMAGES, LABELS, find_idx, read_idx
from pcacam_jax.data.npz import CLASS_NAMES, read_npz

EMBEDDED_SAMPLE = "fashion_mnist_sample"
PARTS = ("train", "test")

_ONE_PART = ("images", "labels")
_BOTH_PARTS = tuple(f"{part}_{array}" for part in PARTS for array in _ONE_PART)
_IDX_NAMES = {*IMAGES.values(), *LABELS.values()}


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


@dataclass(frozen=True)
class Part:
    """Images and labels as they were stored, and where."""

    where: str
    images: np.ndarray
    labels: np.ndarray


def read_dataset(
    source: str | Path, *, class_names: Sequence[str] | None = None, test_fraction: float = 0.2, seed: int = 0
) -> Dataset:
    """Return the dataset that a source names; ``KINDS`` lists what a source may be.

    Args:
        source: ``"fashion_mnist_sample"``, or the path of a file or folder.
        class_names: names in the order of the sorted label values; for class folders, the folders in label order.
            Without them: the file's own ``class_names``, else the label values, or the folders' names sorted.
        test_fraction: the share of each class that is kept for testing, where one npz holds undivided images.
        seed: of that division.

    Raises:
        InputError: no such source, or anything in it that keeps it from being two labelled splits of the same classes.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"test_fraction must lie between 0 and 1, got {test_fraction}; 0.2 is usual.")
    options = Options(None if class_names is None else tuple(class_names), test_fraction, seed)
    if str(source) == EMBEDDED_SAMPLE:
        return _read_npz_file(Path(__file__).with_name(f"{EMBEDDED_SAMPLE}.npz"), options)
    path = Path(source).expanduser()
    for kind in KINDS:
        if kind.fits(path):
            return kind.read(path, options)
    if path.is_dir() and not any(path.iterdir()):
        raise InputError(f"the folder {path} must hold a dataset, but it is empty; check its path.")
    forms = "; ".join(kind.form for kind in KINDS)
    found = "is none of these" if path.exists() else "does not exist"
    raise InputError(f"a data source must be {EMBEDDED_SAMPLE}; {forms}; but {source} {found}; check the path.")


def _read_npz_file(path: Path, options: Options) -> Dataset:
    arrays = read_npz(path, _ONE_PART, _BOTH_PARTS)
    names = options.class_names or _stored_names(path, arrays)
    if "images" in arrays:
        return _divide(path.stem, Part(str(path), arrays["images"], arrays["labels"]), names, options)
    parts = (Part(f"the {part} part of {path}", arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in PARTS)
    return _assemble(path.stem, list(parts), names)


def _read_npz_pair(folder: Path, options: Options) -> Dataset:
    paths = [_require(folder / f"{part}.npz", Path.is_file) for part in PARTS]
    train, test = (read_npz(path, _ONE_PART) for path in paths)
    parts = (Part(str(path), held["images"], held["labels"]) for path, held in zip(paths, (train, test), strict=True))
    return _assemble(_folder_name(folder), list(parts), options.class_names or _stored_names(paths[0], train))


def _read_idx(path: Path, options: Options) -> Dataset:
    folder = path if path.is_dir() else path.parent
    images, labels = ([find_idx(folder, names[part]) for part in PARTS] for names in (IMAGES, LABELS))
    parts = (Part(str(i), read_idx(i, 3), read_idx(j, 1)) for i, j in zip(images, labels, strict=True))
    return _assemble(_folder_name(folder), list(parts), options.class_names)


def _read_folders(folder: Path, options: Options) -> Dataset:
    roots = [_require(folder / part, Path.is_dir) for part in PARTS]
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
        lambda path: path.suffix == ".npz" and path.is_file(),
        _read_npz_file,
    ),
    Kind(
        "a folder with train.npz and test.npz",
        lambda path: any((path / f"{part}.npz").is_file() for part in PARTS),
        _read_npz_pair,
    ),
    Kind(
        "a folder with the four idx files of MNIST or Fashion-MNIST, or one of these files",
        lambda path: any(file.name.removesuffix(".gz") in _IDX_NAMES for file in _files_at(path)),
        _read_idx,
    ),
    Kind(
        "a folder with images in train/CLASS/ and test/CLASS/",
        lambda path: any((path / part).is_dir() for part in PARTS),
        _read_folders,
    ),
)


def _assemble(name: str, parts: Sequence[Part], class_names: tuple[str, ...] | None) -> Dataset:
    labels = [_labels(part) for part in parts]
    values, test_values = (np.unique(stored) for stored in labels)
    _check_same_classes(name, values.tolist(), test_values.tolist())
    splits = (
        ArraySplit(part.images, np.searchsorted(values, stored).astype(np.int64), part.where)
        for part, stored in zip(parts, labels, strict=True)
    )
    return Dataset(name, _class_names(name, values, class_names), *splits)


def _divide(name: str, part: Part, class_names: tuple[str, ...] | None, options: Options) -> Dataset:
    values, codes = np.unique(_labels(part), return_inverse=True)
    whole = ArraySplit(part.images, codes.astype(np.int64), part.where)
    names = _class_names(name, values, class_names)
    held_out = _hold_out(whole.labels, names, options)
    return Dataset(name, names, whole.take(~held_out), whole.take(held_out))


def _hold_out(labels: NDArray[np.int64], names: tuple[str, ...], options: Options) -> NDArray[np.bool_]:
    """Return a mask of the test images, (N,): of every class the same share, but at least one and not all."""
    generator = np.random.default_rng(options.seed)
    mask = np.zeros(len(labels), bool)
    for label, name in enumerate(names):
        rows = generator.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            raise InputError(
                f"every class must have at least 2 images to be divided into train and test, but {name} has "
                f"{len(rows)}; add images or leave the class out."
            )
        mask[rows[: min(max(round(options.test_fraction * len(rows)), 1), len(rows) - 1)]] = True
    return mask


def _labels(part: Part) -> np.ndarray:
    # MedMNIST stores one column
    labels = part.labels[:, 0] if part.labels.ndim == 2 and part.labels.shape[1] == 1 else part.labels
    if labels.ndim != 1 or labels.dtype.kind not in "biuU":
        raise InputError(
            f"the labels of {part.where} must be (N,) integers or strings, one class for each image, but they are "
            f"{part.labels.shape} {part.labels.dtype}; convert them."
        )
    return labels


def _class_names(where: str, values: np.ndarray, class_names: tuple[str, ...] | None) -> tuple[str, ...]:
    if class_names is None:
        return tuple(str(value) for value in values)
    if len(class_names) != len(values):
        raise InputError(
            f"the class names of {where} must be as many as its label values, but there are {len(class_names)} names "
            f"({', '.join(class_names)}) and {len(values)} values ({', '.join(map(str, values))}); match them."
        )
    return class_names


def _stored_names(path: Path, arrays: dict[str, np.ndarray]) -> tuple[str, ...] | None:
    names = arrays.get(CLASS_NAMES)
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise InputError(
            f"{CLASS_NAMES} in {path} must be (C,) strings, but they are {names.shape} {names.dtype}; convert them or "
            "leave them out."
        )
    return None if names is None else tuple(names.tolist())


def _check_same_classes(where: str | Path, train: Iterable, test: Iterable) -> None:
    only_train, only_test = (", ".join(map(str, sorted(set(a) - set(b)))) for a, b in ((train, test), (test, train)))
    if only_train or only_test:
        raise InputError(
            f"train and test of {where} must have the same classes, but only train has {only_train or 'no other'} "
            f"and only test has {only_test or 'no other'}; add images of these classes or leave them out of both."
        )


def _require(path: Path, present: Callable[[Path], bool]) -> Path:
    if not present(path):
        raise InputError(f"{path.parent} must hold both train and test, but {path.name} is missing; add it.")
    return path


def _files_at(path: Path) -> Iterable[Path]:
    return (file for file in (path.iterdir() if path.is_dir() else (path,)) if file.is_file())


def _folder_name(folder: Path) -> str:
    return folder.resolve().name

"""Images and labels exactly as npz and idx files store them, before the classes are numbered."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.checks import InputError
from pcacam_jax.data.idx import IMAGES, LABELS, find_idx, read_idx
from pcacam_jax.data.names import composed
from pcacam_jax.data.npz import CLASS_NAMES, read_npz

SPLIT_NAMES = ("train", "test")
UNDIVIDED_ARRAYS = ("images", "labels")
DIVIDED_ARRAYS = tuple(f"{name}_{array}" for name in SPLIT_NAMES for array in UNDIVIDED_ARRAYS)

_IDX_NAMES = {*IMAGES.values(), *LABELS.values()}


class DatasetUnavailableError(InputError):
    """A source knows the dataset, but its files are neither stored nor can be downloaded."""


@dataclass(frozen=True)
class StoredSplit:
    """Images and labels as a file stores them; error messages call the split ``where``."""

    where: str
    images: np.ndarray
    labels: np.ndarray


StoredDataset = tuple[list[StoredSplit], tuple[str, ...] | None]
"""Either train and test or one undivided split, and the class names if the file has any."""


def is_npz(path: Path) -> bool:
    """Return whether the path is an npz file."""
    return path.suffix.lower() == ".npz" and path.is_file()


def read_npz_file(path: Path) -> StoredDataset:
    """Return the content of one npz file: train and test, or one undivided split."""
    arrays = read_npz(path, UNDIVIDED_ARRAYS, DIVIDED_ARRAYS)
    if "images" in arrays:
        splits = [StoredSplit(str(path), arrays["images"], arrays["labels"])]
    else:
        splits = [
            StoredSplit(f"the {name} split of {path}", arrays[f"{name}_images"], arrays[f"{name}_labels"])
            for name in SPLIT_NAMES
        ]
    return splits, _stored_names(path, arrays)


def is_npz_pair(path: Path) -> bool:
    """Return whether the path is a folder with train.npz or test.npz."""
    return any((path / f"{name}.npz").is_file() for name in SPLIT_NAMES)


def read_npz_pair(folder: Path) -> StoredDataset:
    """Return the content of train.npz and test.npz in a folder."""
    paths = [require(folder / f"{name}.npz", Path.is_file) for name in SPLIT_NAMES]
    contents = [read_npz(path, UNDIVIDED_ARRAYS) for path in paths]
    splits = [
        StoredSplit(str(path), arrays["images"], arrays["labels"]) for path, arrays in zip(paths, contents, strict=True)
    ]
    train_names, test_names = (_stored_names(path, arrays) for path, arrays in zip(paths, contents, strict=True))
    if None not in (train_names, test_names) and train_names != test_names:
        raise InputError(
            f"{paths[0]} and {paths[1].name} must name the same classes in the same order, but they have "
            f"{', '.join(train_names or ())} and {', '.join(test_names or ())}; renumber one of them."
        )
    return splits, train_names or test_names


def is_idx(path: Path) -> bool:
    """Return whether the path is an idx file with one of MNIST's file names, or a folder with such a file."""
    files = path.iterdir() if path.is_dir() else (path,)
    return any(file.name.removesuffix(".gz") in _IDX_NAMES for file in files if file.is_file())


def read_idx_files(path: Path) -> StoredDataset:
    """Return the content of the four idx files in a folder; the path is the folder or one of the files."""
    folder = path if path.is_dir() else path.parent
    images, labels = ([find_idx(folder, files[name]) for name in SPLIT_NAMES] for files in (IMAGES, LABELS))
    return [StoredSplit(str(i), read_idx(i, 3), read_idx(j, 1)) for i, j in zip(images, labels, strict=True)], None


def is_divided_folder(path: Path) -> bool:
    """Return whether the path is a folder with a folder train or test."""
    return any((path / name).is_dir() for name in SPLIT_NAMES)


def require(path: Path, exists: Callable[[Path], bool]) -> Path:
    """Return ``path``, the file or folder of one split.

    Raises:
        InputError: if ``exists(path)`` is false.
    """
    if not exists(path):
        raise InputError(f"{path.parent} must hold both train and test, but {path.name} is missing; add it.")
    return path


def stored_labels(split: StoredSplit) -> np.ndarray:
    """Return the labels of a stored split, ``(N,)`` integers or strings.

    Raises:
        InputError: if they have another type or shape.
    """
    # MedMNIST stores the labels as one column
    labels = split.labels[:, 0] if split.labels.ndim == 2 and split.labels.shape[1] == 1 else split.labels
    if labels.ndim != 1 or labels.dtype.kind not in "biuU":
        raise InputError(
            f"the labels of {split.where} must be (N,) integers or strings, one class for each image, but they are "
            f"{split.labels.shape} {split.labels.dtype}; convert them."
        )
    if labels.dtype.kind != "U":
        return labels
    values, codes = np.unique(labels, return_inverse=True)
    return np.array([composed(value) for value in values.tolist()] or [""])[codes]


def hold_out(labels: NDArray[np.int64], names: Iterable[str], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return the mask ``(N,)`` of a stratified random test split: ``fraction`` of every class.

    Of every class, at least one image is in the test split and at least one is not.

    Raises:
        InputError: if a class has fewer than two images.
    """
    generator = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    for label, name in enumerate(names):
        rows = generator.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            raise InputError(
                f"every class must have at least 2 images to be divided into train and test, but {name} has "
                f"{len(rows)}; add images or remove the class."
            )
        mask[rows[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]] = True
    return mask


def _stored_names(path: Path, arrays: dict[str, np.ndarray]) -> tuple[str, ...] | None:
    names = arrays.get(CLASS_NAMES)
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise InputError(
            f"{CLASS_NAMES} in {path} must be (C,) strings, but they are {names.shape} {names.dtype}; convert them or "
            "leave them out."
        )
    return None if names is None else tuple(composed(name) for name in names.tolist())

"""Images and labels as they were stored, before classes are numbered: what npz and idx files give."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.checks import InputError
from pcacam_jax.data.idx import IMAGES, LABELS, find_idx, read_idx
from pcacam_jax.data.npz import CLASS_NAMES, read_npz

PARTS = ("train", "test")
ONE_PART = ("images", "labels")
BOTH_PARTS = tuple(f"{part}_{array}" for part in PARTS for array in ONE_PART)

_IDX_NAMES = {*IMAGES.values(), *LABELS.values()}


class NotThereError(InputError):
    """A dataset that a door knows, but that lies nowhere and cannot be got."""


@dataclass(frozen=True)
class Part:
    """Images and labels as they were stored, and where."""

    where: str
    images: np.ndarray
    labels: np.ndarray


Stored = tuple[list[Part], tuple[str, ...] | None]
"""One undivided part, or train and test; and the class names where the file has any."""


def is_npz(path: Path) -> bool:
    """Say whether the path is an npz file."""
    return path.suffix == ".npz" and path.is_file()


def read_npz_file(path: Path) -> Stored:
    """Return what one npz file holds: an undivided part, or train and test."""
    arrays = read_npz(path, ONE_PART, BOTH_PARTS)
    if "images" in arrays:
        parts = [Part(str(path), arrays["images"], arrays["labels"])]
    else:
        parts = [
            Part(f"the {part} part of {path}", arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in PARTS
        ]
    return parts, _stored_names(path, arrays)


def is_npz_pair(path: Path) -> bool:
    """Say whether the path is a folder with train.npz or test.npz."""
    return any((path / f"{part}.npz").is_file() for part in PARTS)


def read_npz_pair(folder: Path) -> Stored:
    """Return what train.npz and test.npz in a folder hold."""
    paths = [require(folder / f"{part}.npz", Path.is_file) for part in PARTS]
    train, test = (read_npz(path, ONE_PART) for path in paths)
    parts = [Part(str(path), held["images"], held["labels"]) for path, held in zip(paths, (train, test), strict=True)]
    names, others = (_stored_names(path, held) for path, held in zip(paths, (train, test), strict=True))
    if None not in (names, others) and names != others:
        raise InputError(
            f"{paths[0]} and {paths[1].name} must name the same classes in the same order, but they have "
            f"{', '.join(names or ())} and {', '.join(others or ())}; renumber one of them."
        )
    return parts, names or others


def is_idx(path: Path) -> bool:
    """Say whether the path is an idx file of MNIST's names, or a folder with one."""
    files = path.iterdir() if path.is_dir() else (path,)
    return any(file.name.removesuffix(".gz") in _IDX_NAMES for file in files if file.is_file())


def read_idx_files(path: Path) -> Stored:
    """Return what the four idx files in a folder hold, or those beside one of them."""
    folder = path if path.is_dir() else path.parent
    images, labels = ([find_idx(folder, names[part]) for part in PARTS] for names in (IMAGES, LABELS))
    return [Part(str(i), read_idx(i, 3), read_idx(j, 1)) for i, j in zip(images, labels, strict=True)], None


def is_divided_folder(path: Path) -> bool:
    """Say whether the path is a folder with a folder train or test."""
    return any((path / part).is_dir() for part in PARTS)


def require(path: Path, present: Callable[[Path], bool]) -> Path:
    """Return the path of a part of a dataset.

    Raises:
        InputError: it is not there.
    """
    if not present(path):
        raise InputError(f"{path.parent} must hold both train and test, but {path.name} is missing; add it.")
    return path


def stored_labels(part: Part) -> np.ndarray:
    """Return the labels of a part, (N,) integers or strings.

    Raises:
        InputError: they are of another type or shape.
    """
    # MedMNIST stores one column
    labels = part.labels[:, 0] if part.labels.ndim == 2 and part.labels.shape[1] == 1 else part.labels
    if labels.ndim != 1 or labels.dtype.kind not in "biuU":
        raise InputError(
            f"the labels of {part.where} must be (N,) integers or strings, one class for each image, but they are "
            f"{part.labels.shape} {part.labels.dtype}; convert them."
        )
    return labels


def hold_out(labels: NDArray[np.int64], names: Iterable[str], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return a mask of the test images, (N,): of every class the same share, but at least one and not all.

    Raises:
        InputError: a class has fewer than two images.
    """
    generator = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    for label, name in enumerate(names):
        rows = generator.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            raise InputError(
                f"every class must have at least 2 images to be divided into train and test, but {name} has "
                f"{len(rows)}; add images or leave the class out."
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
    return None if names is None else tuple(names.tolist())

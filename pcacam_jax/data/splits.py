"""The training or the test part of a dataset behind one protocol: arrays, or files decoded only when asked for."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.checks import SMALLEST_SIZE, InputError
from pcacam_jax.core.files import digest
from pcacam_jax.data.images import check_size, load_image, pixels_to_rgb

Indices = Sequence[int] | slice | np.ndarray


class Split(Protocol):
    """The training or the test part of a dataset."""

    def __len__(self) -> int:
        """Return N, the number of images."""
        ...

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of every image, (N,) in 0..C-1."""
        ...

    def images(self, indices: Indices, size: int) -> NDArray[np.uint8]:
        """Return the chosen images, (n, size, size, 3) RGB.

        Raises:
            InputError: ``size`` is under 32, or an image cannot be decoded.
        """
        ...

    def take(self, indices: Indices) -> "Split":
        """Return the split that holds only the chosen images, in the order of ``indices``."""
        ...

    def fingerprint(self) -> str:
        """Return a digest of the images in their order, for the key of a cache; labels do not enter."""
        ...

    def check(self) -> None:
        """Decode every image once; nothing is done where images are plain arrays.

        Raises:
            InputError: some cannot be decoded; the sentence names the first and says how many there are.
        """
        ...

    @property
    def shortest_side(self) -> int:
        """A side in pixels that every image has at least; what is smaller is not of the split's kind."""
        ...


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """Images held in memory.

    Attributes:
        pixels: (N, H, W), (N, H, W, 1) or (N, H, W, 3) uint8.
        labels: (N,) int64 in 0..C-1.
        where: what the sentences of errors call this split, for instance its file.

    Raises:
        InputError: a wrong dtype, number of dimensions or length.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    where: str = "the split"

    def __post_init__(self):
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if dtype != np.uint8:
            raise InputError(
                f"the images of {self.where} must be uint8, 0 to 255, but they are {dtype}; scale them to that range, "
                "round and convert them with astype(numpy.uint8)."
            )
        if len(shape) not in (3, 4) or shape[3:] not in ((), (1,), (3,)) or 0 in shape[1:]:
            raise InputError(
                f"the images of {self.where} must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3), "
                f"but it is {shape}; reorder or reshape them."
            )
        check_labels(self.where, self.labels, shape[0])

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indices: Indices, size: int) -> NDArray[np.uint8]:
        """Return the chosen images, (n, size, size, 3) RGB; see ``Split.images``."""
        return batch_of(lambda i: pixels_to_rgb(self.pixels[i], size), len(self), indices, size)

    @property
    def shortest_side(self) -> int:
        """The shorter side in pixels."""
        return min(self.pixels.shape[1:3])

    def fingerprint(self) -> str:
        """Return the digest of the pixels and their shape."""
        return digest({"images": self.pixels})

    def take(self, indices: Indices) -> "ArraySplit":
        """Return the split that holds only the chosen images."""
        return ArraySplit(self.pixels[indices], self.labels[indices], self.where)

    def check(self) -> None:
        """Do nothing: there is nothing to decode."""


@dataclass(frozen=True, eq=False)
class FolderSplit:
    """Images in files under one folder, decoded each time they are asked for.

    Attributes:
        root: the folder that names in the fingerprint are relative to.
        paths: N files under ``root``.
        labels: (N,) int64 in 0..C-1.

    Raises:
        InputError: labels of a wrong dtype or length.
    """

    root: Path
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]

    def __post_init__(self):
        check_labels(str(self.root), self.labels, len(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def images(self, indices: Indices, size: int) -> NDArray[np.uint8]:
        """Return the chosen images, (n, size, size, 3) RGB; see ``Split.images``."""
        return batch_of(lambda i: load_image(self.paths[i], size), len(self), indices, size)

    @property
    def shortest_side(self) -> int:
        """The side under which an image file is refused."""
        return SMALLEST_SIZE

    def fingerprint(self) -> str:
        """Return the digest of every file's name relative to ``root``, its size and its bytes."""
        total = hashlib.sha256()
        for path in self.paths:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise InputError(f"the image {path} cannot be read ({error}); restore it or remove it.") from error
            name = path.relative_to(self.root).as_posix()
            total.update(f"{name}|{len(content)}|{hashlib.sha256(content).hexdigest()}\n".encode())
        return total.hexdigest()

    def take(self, indices: Indices) -> "FolderSplit":
        """Return the split that holds only the chosen files."""
        rows = np.arange(len(self))[indices]
        return FolderSplit(self.root, tuple(self.paths[row] for row in rows), self.labels[rows])

    def check(self) -> None:
        """Decode every file once; see ``Split.check``."""
        check_every(lambda i: load_image(self.paths[i], SMALLEST_SIZE), len(self), str(self.root))


def batch_of(load: Callable[[int], np.ndarray], count: int, indices: Indices, size: int) -> NDArray[np.uint8]:
    """Return the chosen of ``count`` images, (n, size, size, 3), each by ``load(index)``.

    Raises:
        InputError: ``size`` is under 32.
    """
    check_size(size)
    chosen = np.arange(count)[indices]
    batch = np.empty((len(chosen), size, size, 3), np.uint8)
    for row, index in enumerate(chosen):
        batch[row] = load(index)
    return batch


def check_every(load: Callable[[int], np.ndarray], count: int, where: str) -> None:
    """Load every image once.

    Raises:
        InputError: some cannot be loaded: the first one's own sentence, and how many there are.
    """
    refusals = []
    for index in range(count):
        try:
            load(index)
        except InputError as error:
            refusals.append(str(error))
    if refusals:
        # One sentence to act on: what is wrong with the first, then that it is not alone
        first = refusals[0].rstrip(".")
        raise InputError(f"{first}; {len(refusals)} of the {count} images of {where} cannot be used, this one first.")


def check_labels(where: str, labels: np.ndarray, count: int) -> None:
    """Refuse labels that are not (count,) int64.

    Raises:
        InputError: they are not.
    """
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise InputError(
            f"the labels of {where} must be (N,) int64, but they are {labels.shape} {labels.dtype}; "
            "number the classes from 0."
        )
    if len(labels) != count:
        raise InputError(
            f"{where} must hold one label for each image, but it holds {count} images and {len(labels)} labels; "
            "save both from the same rows."
        )

"""The protocol ``Split`` of a training or test split, with images in memory or in files that are decoded on demand."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import SMALLEST_SIZE, InputError
from pcacam_jax.core.files import digest
from pcacam_jax.core.paths import printable
from pcacam_jax.data.digests import digest_file
from pcacam_jax.data.images import Picture, check_size, decode_file, pixels_to_rgb, resized

Indices = Sequence[int] | slice | np.ndarray


class Split(Protocol):
    """Protocol of the training split or the test split of a dataset."""

    def __len__(self) -> int:
        """Return N, the number of images."""
        ...

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of every image, ``(N,)`` int64 in 0..C-1."""
        ...

    @property
    def entries(self) -> list[str] | list[int]:
        """What the source calls every image: the N file names, or the N row numbers."""
        ...

    def images(self, indices: Indices, size: int) -> NDArray[np.uint8]:
        """Return the selected images, ``(n, size, size, 3)`` RGB.

        Args:
            indices: integers, a slice or a Boolean mask, as for a NumPy array of length N.
            size: the side in pixels to which the images are resized, at least 32.

        Raises:
            InputError: if ``size`` is under 32 or an image cannot be decoded.
        """
        ...

    @property
    def digests(self) -> NDArray[np.uint8]:
        """A SHA-256 of every image, ``(N, 32)``, which is the same for identical images of the same class of split."""
        ...

    def take(self, indices: Indices) -> "Split":
        """Return a split of the selected images, in the order of ``indices``."""
        ...

    def fingerprint(self) -> str:
        """Return a digest of the images and their order, without the labels; it is part of cache keys."""
        ...

    def check(self) -> None:
        """Decode every image once, so that damaged files are reported early; arrays need no check.

        Raises:
            InputError: if images cannot be decoded; the message names the first of them and says how many there are.
        """
        ...

    @property
    def shortest_side(self) -> int:
        """A lower bound in pixels of the images' sides.

        A fitted run explains image files whose sides are at least this bound or at least 32 pixels.
        """
        ...


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """Images in memory.

    Attributes:
        pixels: the images, ``(N, H, W)``, ``(N, H, W, 1)`` or ``(N, H, W, 3)`` uint8.
        labels: the class of every image, ``(N,)`` int64 in 0..C-1.
        where: the name of this split in error messages, for instance its file.

    Raises:
        InputError: if an array has the wrong dtype or number of dimensions, or the lengths differ.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.data import ArraySplit
        >>> split = ArraySplit(np.zeros((3, 28, 28), np.uint8), np.array([0, 1, 1]))
        >>> split.images([2, 0], size=32).shape, split.take([2, 0]).labels.tolist()
        ((2, 32, 32, 3), [1, 0])
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    where: str = "the split"

    __repr__ = brief_repr

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

    @property
    def entries(self) -> list[int]:
        """The row numbers of the images in ``pixels``."""
        return list(range(len(self)))

    def images(self, indices: Indices, size: int) -> NDArray[np.uint8]:
        """Return the selected images, ``(n, size, size, 3)`` RGB; see ``Split.images``."""
        return batch_of(lambda i: pixels_to_rgb(self.pixels[i], size), len(self), indices, size)

    @property
    def shortest_side(self) -> int:
        """The shorter side of the images in pixels."""
        return min(self.pixels.shape[1:3])

    def fingerprint(self) -> str:
        """Return a digest of the pixels and their shape."""
        return digest({"images": self.pixels})

    @property
    def digests(self) -> NDArray[np.uint8]:
        """The SHA-256 of every image's shape and pixels, ``(N, 32)``."""
        shape = str([side for side in self.pixels.shape[1:] if side != 1]).encode()
        return as_rows(hashlib.sha256(shape + image.tobytes()).digest() for image in self.pixels)

    def take(self, indices: Indices) -> "ArraySplit":
        """Return a split of the selected images."""
        return ArraySplit(self.pixels[indices], self.labels[indices], self.where)

    def check(self) -> None:
        """Do nothing, because arrays need no decoding."""


@dataclass(frozen=True, eq=False)
class FolderSplit:
    """Image files under one folder, decoded on every access.

    Attributes:
        root: the folder; the fingerprint holds file names relative to it.
        paths: N files under ``root``.
        labels: the class of every image, ``(N,)`` int64 in 0..C-1.

    Raises:
        InputError: if the labels have the wrong dtype or length.
    """

    root: Path
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]

    __repr__ = brief_repr

    def __post_init__(self):
        check_labels(printable(self.root), self.labels, len(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def entries(self) -> list[str]:
        """The file names relative to ``root``."""
        return [path.relative_to(self.root).as_posix() for path in self.paths]

    def images(self, indices: Indices, size: int) -> NDArray[np.uint8]:
        """Return the selected images, ``(n, size, size, 3)`` RGB; see ``Split.images``."""
        return batch_of(lambda i: resized(decode_file(self.paths[i]).image, size), len(self), indices, size)

    @property
    def shortest_side(self) -> int:
        """The smallest side in pixels that an image file may have."""
        return SMALLEST_SIZE

    def fingerprint(self) -> str:
        """Return a digest of every file's name relative to ``root``, its size and its bytes."""
        total = hashlib.sha256()
        for path, name in zip(self.paths, self.entries, strict=True):
            size, digest = digest_file(path)
            total.update(os.fsencode(name) + f"|{size}|{digest.hex()}\n".encode())
        return total.hexdigest()

    @property
    def digests(self) -> NDArray[np.uint8]:
        """The digest of every file, ``(N, 32)``."""
        return as_rows(digest_file(path).digest for path in self.paths)

    def take(self, indices: Indices) -> "FolderSplit":
        """Return a split of the selected files."""
        rows = np.arange(len(self))[indices]
        return FolderSplit(self.root, tuple(self.paths[row] for row in rows), self.labels[rows])

    def check(self) -> None:
        """Decode every file once; see ``Split.check``."""
        check_every(lambda i: decode_file(self.paths[i]), self.entries, str(self.root))


def batch_of(load: Callable[[int], np.ndarray], count: int, indices: Indices, size: int) -> NDArray[np.uint8]:
    """Return the selected of ``count`` images, ``(n, size, size, 3)``, each loaded by ``load(index)``.

    Raises:
        InputError: if ``size`` is under 32.
    """
    check_size(size)
    selected = np.arange(count)[indices]
    batch = np.empty((len(selected), size, size, 3), np.uint8)
    for row, index in enumerate(selected):
        batch[row] = load(index)
    return batch


def check_every(load: Callable[[int], Picture], entries: Sequence[str] | Sequence[int], where: str) -> None:
    """Load every image once, and warn of those that are the first of several frames or pages.

    Args:
        load: decodes the image of an index.
        entries: what the source calls each image.
        where: the name of the source.

    Raises:
        InputError: if an image cannot be loaded; the message is the first image's error and the number of errors.
    """
    messages, several = [], []
    for index, entry in enumerate(entries):
        try:
            if load(index).several:
                several.append(printable(str(entry)))
        except InputError as error:
            messages.append(str(error))
    if messages:
        first = messages[0].rstrip(".")
        raise InputError(
            f"{first}; {len(messages)} of the {len(entries)} images of {printable(where)} cannot be used, and this is "
            "the first of them."
        )
    if several:
        warnings.warn(
            f"{len(several)} of the {len(entries)} images of {printable(where)} hold several frames or pages; the "
            f"first of each is read: {', '.join(several[:3])}{' and others' if len(several) > 3 else ''}.",
            stacklevel=3,
        )


def as_rows(digests: Iterable[bytes]) -> NDArray[np.uint8]:
    """Return 32-byte digests as an array, ``(N, 32)``."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def check_labels(where: str, labels: np.ndarray, count: int) -> None:
    """Raise an ``InputError`` if the labels are not ``(count,)`` int64."""
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

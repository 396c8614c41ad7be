"""Labelled images behind one protocol, held as arrays or as files that are decoded only when asked for.

Every image leaves this room as (size, size, 3) RGB uint8: grey is repeated over the channels, transparency dropped, and
the whole image resized without cropping by Pillow's BILINEAR filter, which averages over the source pixels when it
shrinks.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pcacam_jax.checks import InputError
from pcacam_jax.files import digest

SMALLEST_SIZE = 32  # VGG16 halves its maps five times: below 32 pixels nothing is left

Indices = Sequence[int] | slice | np.ndarray

# What Pillow's decoders raise on damaged files: no common base class
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


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
            InputError: ``size`` is under 32, or a file cannot be decoded.
        """
        ...

    def fingerprint(self) -> str:
        """Return a digest of the images in their order, for the key of a cache; labels do not enter."""
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
        _check_labels(self.where, self.labels, shape[0])

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indices: Indices, size: int) -> NDArray[np.uint8]:
        """Return the chosen images, (n, size, size, 3) RGB; see ``Split.images``."""
        planes = self.pixels[..., 0] if self.pixels.shape[3:] == (1,) else self.pixels
        return _batch(lambda i: _to_rgb(Image.fromarray(planes[i]), size), len(self), indices, size)

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
        _check_labels(str(self.root), self.labels, len(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def images(self, indices: Indices, size: int) -> NDArray[np.uint8]:
        """Return the chosen images, (n, size, size, 3) RGB; see ``Split.images``."""
        return _batch(lambda i: load_image(self.paths[i], size), len(self), indices, size)

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


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of two or more classes, divided for training and for testing.

    Attributes:
        name: what reports and caches call it.
        class_names: C distinct names, in label order.
        train: the part that models are fitted on.
        test: the part that they are measured on.

    Raises:
        InputError: fewer than two classes, a repeated class name, an empty split, or a label without a name.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split

    def __post_init__(self):
        count = len(self.class_names)
        if count < 2:
            raise InputError(
                f"the dataset {self.name} must have at least 2 classes to tell apart, but it has {count} "
                f"({', '.join(self.class_names) or 'none'}); add images of another class."
            )
        repeated = [name for name, times in Counter(self.class_names).items() if times > 1]
        if repeated:
            raise InputError(
                f"the class names of {self.name} must differ, but {', '.join(repeated)} comes more than once; rename."
            )
        for part, split in (("train", self.train), ("test", self.test)):
            if not len(split):
                raise InputError(f"the {part} split of {self.name} must hold images, but it is empty; add some.")
            if split.labels.min() < 0 or split.labels.max() >= count:
                raise InputError(
                    f"the {part} labels of {self.name} must lie in 0..{count - 1}, one for each class name, but they "
                    f"run from {split.labels.min()} to {split.labels.max()}; renumber them or name every class."
                )


def load_image(path: str | Path, size: int, *, smallest: int = SMALLEST_SIZE) -> NDArray[np.uint8]:
    """Return the image in a file as (size, size, 3) RGB, turned upright as its EXIF orientation says.

    Raises:
        InputError: ``size`` is under 32, a side of the image is under ``smallest``, or the file is absent, damaged, no
            image, or of more than 8 bits a channel.
    """
    _check_size(size)
    if Path(path).is_dir():
        raise InputError(f"the image {path} must be a file, but it is a folder; name the files in it.")
    if not Path(path).is_file():
        raise InputError(f"the image {path} must be a file, but there is none at this path; check the spelling.")
    try:
        with Image.open(path) as image:
            image.load()
            mode = image.mode
            if min(image.size) < smallest:
                raise InputError(
                    f"the image {path} must be at least {smallest} x {smallest} pixels; got {image.width} x "
                    f"{image.height}, too little to enlarge to {size}; give a larger picture."
                )
            if mode[0] not in "IF":
                return _to_rgb(ImageOps.exif_transpose(image), size)
    except InputError:
        raise
    except _DECODING_ERRORS as error:
        raise InputError(f"the image {path} cannot be decoded ({error}); repair it or remove it.") from error
    # Pillow would clip these to 255 and leave a white image: which grey values to keep is the user's choice
    raise InputError(
        f"the image {path} must have 8 bits a channel, but its mode is {mode}; choose a range of grey values and "
        "save it as 8 bits."
    )


def _to_rgb(image: Image.Image, size: int) -> NDArray[np.uint8]:
    if "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns when such a palette goes to RGB at once
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def _batch(load: Callable[[int], np.ndarray], count: int, indices: Indices, size: int) -> NDArray[np.uint8]:
    _check_size(size)
    chosen = np.arange(count)[indices]
    batch = np.empty((len(chosen), size, size, 3), np.uint8)
    for row, index in enumerate(chosen):
        batch[row] = load(index)
    return batch


def _check_size(size: int) -> None:
    if size < SMALLEST_SIZE:
        raise InputError(f"the image size must be at least {SMALLEST_SIZE} pixels, got {size}; choose a larger one.")


def _check_labels(where: str, labels: np.ndarray, count: int) -> None:
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

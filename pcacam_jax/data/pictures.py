"""Image files for an explanation: resized for the network, and in their own proportions for the drawing."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pcacam_jax.core.checks import SMALLEST_SIZE
from pcacam_jax.core.paths import printable
from pcacam_jax.data.images import check_size, decode_file, resized

LONGEST_SIDE = 1000
"""Longest side in pixels of the copy of an image that is drawn."""


class LoadedPicture(NamedTuple):
    """An image file as the network and the reader see it, both upright."""

    pixels: NDArray[np.uint8]
    """``(size, size, 3)``, as :func:`~pcacam_jax.data.load_image` returns it."""
    drawn: NDArray[np.uint8]
    """``(h, w, 3)`` in the proportions of the original, at most 1000 pixels on the longest side."""
    size: tuple[int, int]
    """``(height, width)`` of the upright original in pixels."""
    orientation: int
    """The EXIF orientation of the file, 1 to 8; 1 if it has none. The pixels are stored upright if it is 1."""


def load_picture(path: str | Path, size: int, *, smallest: int = SMALLEST_SIZE) -> LoadedPicture:
    """Load an image file for its explanation.

    Args:
        path: the image file.
        size: the side in pixels to which the image is resized for the network, at least 32.
        smallest: the shortest side in pixels that the image in the file may have.

    Returns:
        The resized pixels, a copy to draw, the original size and the orientation.

    Raises:
        InputError: as for :func:`~pcacam_jax.data.load_image`.
    """
    check_size(size)
    picture = decode_file(path, smallest=smallest)
    if picture.several:
        warnings.warn(f"the image {printable(path)} holds several frames or pages; the first is read.", stacklevel=2)
    width, height = picture.image.size
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    drawn = picture.image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX)
    return LoadedPicture(resized(picture.image, size), np.asarray(drawn), (height, width), picture.orientation)

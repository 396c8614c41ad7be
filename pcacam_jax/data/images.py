"""Convert image files and pixel arrays to ``(size, size, 3)`` RGB uint8.

Grey images are repeated over the three channels, and transparency is dropped. The whole image is resized without
cropping by Pillow's BILINEAR filter, which averages over the source pixels when it shrinks an image.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pcacam_jax.core.checks import SMALLEST_SIZE, InputError

# Pillow's decoders raise these on damaged files; they have no common base class
DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


def load_image(path: str | Path, size: int, *, smallest: int = SMALLEST_SIZE) -> NDArray[np.uint8]:
    """Load an image file as RGB pixels, rotated upright according to its EXIF orientation.

    Args:
        path: the image file.
        size: the side in pixels to which the image is resized, at least 32.
        smallest: the shortest side in pixels that the image in the file may have.

    Returns:
        The pixels, ``(size, size, 3)`` uint8.

    Raises:
        InputError: if ``size`` is under 32, a side of the image is under ``smallest``, or the file does not exist, is
            damaged, is not an image, or has more than 8 bits per channel.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from pcacam_jax.data import load_image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (60, 40)).save(f"{folder}/grey.png")
        ...     load_image(f"{folder}/grey.png", 32).shape
        (32, 32, 3)
    """
    check_size(size)
    if Path(path).is_dir():
        raise InputError(f"the image {path} must be a file, but it is a folder; name the files in it.")
    if not Path(path).is_file():
        raise InputError(f"the image {path} must be a file, but there is none at this path; check the spelling.")
    return decode_image(path, str(path), size, smallest=smallest)


def decode_image(
    file: str | Path | BinaryIO, name: str, size: int, *, smallest: int = SMALLEST_SIZE
) -> NDArray[np.uint8]:
    """Return the image in an open file or at a path as upright ``(size, size, 3)`` RGB; errors call it ``name``.

    Raises:
        InputError: as for ``load_image``.
    """
    try:
        with Image.open(file) as image:
            image.load()
            mode = image.mode
            if min(image.size) < smallest:
                raise InputError(
                    f"the image {name} must be at least {smallest} x {smallest} pixels; got {image.width} x "
                    f"{image.height}, too few to enlarge to {size}; give a larger image."
                )
            if mode[0] not in "IF":
                return to_rgb(ImageOps.exif_transpose(image), size)
    except InputError:
        raise
    except DECODING_ERRORS as error:
        raise InputError(f"the image {name} cannot be decoded ({error}); repair it or remove it.") from error
    # Pillow would clip these modes to 255 and return a white image, so the user has to choose the range of grey values
    raise InputError(
        f"the image {name} must have 8 bits per channel, but its mode is {mode}; choose a range of grey values and "
        "save it with 8 bits."
    )


def pixels_to_rgb(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return pixels of shape ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)`` as ``(size, size, 3)`` RGB."""
    return to_rgb(Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels), size)


def to_rgb(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return an image of any 8-bit mode as ``(size, size, 3)`` RGB."""
    if "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns if such a palette is converted to RGB directly
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def check_size(size: int) -> None:
    """Raise an ``InputError`` if a side of ``size`` pixels is too small for VGG16, that is, under 32."""
    if size < SMALLEST_SIZE:
        raise InputError(f"the image size must be at least {SMALLEST_SIZE} pixels, got {size}; choose a larger one.")

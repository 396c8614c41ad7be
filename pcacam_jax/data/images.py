"""Image files and pixel arrays as (size, size, 3) RGB uint8.

Grey is repeated over the channels, transparency dropped, and the whole image resized without cropping by Pillow's
BILINEAR filter, which averages over the source pixels when it shrinks.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pcacam_jax.core.checks import SMALLEST_SIZE, InputError

# What Pillow's decoders raise on damaged files: no common base class
DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


def load_image(path: str | Path, size: int, *, smallest: int = SMALLEST_SIZE) -> NDArray[np.uint8]:
    """Return the image in a file as (size, size, 3) RGB, turned upright as its EXIF orientation says.

    Raises:
        InputError: ``size`` is under 32, a side of the image is under ``smallest``, or the file is absent, damaged, no
            image, or of more than 8 bits a channel.
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
    """Return the image in an open or named file as (size, size, 3) RGB, upright; ``name`` is what errors call it.

    Raises:
        InputError: as ``load_image``.
    """
    try:
        with Image.open(file) as image:
            image.load()
            mode = image.mode
            if min(image.size) < smallest:
                raise InputError(
                    f"the image {name} must be at least {smallest} x {smallest} pixels; got {image.width} x "
                    f"{image.height}, too little to enlarge to {size}; give a larger picture."
                )
            if mode[0] not in "IF":
                return to_rgb(ImageOps.exif_transpose(image), size)
    except InputError:
        raise
    except DECODING_ERRORS as error:
        raise InputError(f"the image {name} cannot be decoded ({error}); repair it or remove it.") from error
    # Pillow would clip these to 255 and leave a white image: which grey values to keep is the user's choice
    raise InputError(
        f"the image {name} must have 8 bits a channel, but its mode is {mode}; choose a range of grey values and "
        "save it as 8 bits."
    )


def pixels_to_rgb(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return pixels of shape (H, W), (H, W, 1) or (H, W, 3) as (size, size, 3) RGB."""
    return to_rgb(Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels), size)


def to_rgb(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return an image of any 8-bit mode as (size, size, 3) RGB."""
    if "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns when such a palette goes to RGB at once
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def check_size(size: int) -> None:
    """Refuse a side in pixels that VGG16 leaves nothing of.

    Raises:
        InputError: it is under 32.
    """
    if size < SMALLEST_SIZE:
        raise InputError(f"the image size must be at least {SMALLEST_SIZE} pixels, got {size}; choose a larger one.")

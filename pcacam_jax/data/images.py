"""Convert image files and pixel arrays to RGB uint8.

Of a file with several frames or pages the first is read. Grey images are repeated over the three channels. Transparent
pixels are blended with white, the colour that web browsers and documents show behind an image, because the colours
stored under them are seen by nobody. The whole image is resized without cropping by Pillow's BILINEAR filter, which
averages over the source pixels when it shrinks an image.
"""

import contextlib
import functools
import re
import threading
import warnings
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from pcacam_jax.core.checks import SMALLEST_SIZE, InputError
from pcacam_jax.core.paths import printable
from pcacam_jax.core.text import one_line, shown
from pcacam_jax.data.image_headers import bits_per_channel, grey_depth, states_transparency
from pcacam_jax.data.names import existing_file

MOST_PIXELS = 200_000_000
"""Largest number of pixels of an image file; an image of this size takes 0.8 GB while it is decoded."""

BACKGROUND = (255, 255, 255)
"""The colour behind transparent pixels."""

FORMATS = {
    "BMP": (".bmp", ".dib"),
    "DIB": (),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm", ".pfm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
    "SGI": (".bw", ".rgb", ".rgba", ".sgi"),
    "SUN": (".ras",),
    "TGA": (".icb", ".tga", ".vda", ".vst"),
}
"""Pillow's formats of one raster image that are read, with their suffixes.

Icons, textures, brushes, layered, vector and scientific formats are left out.
"""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image of each EXIF orientation upright."""

_PILLOW = threading.RLock()


class Picture(NamedTuple):
    """A decoded image file."""

    image: Image.Image
    """The first frame or page, upright RGB of the original size."""
    several: bool
    """Whether the file holds more frames or pages."""
    orientation: int
    """The EXIF orientation by which the stored pixels were turned upright, 1 to 8; 1 if they were upright."""


def load_image(path: str | Path, size: int, *, smallest: int = SMALLEST_SIZE) -> NDArray[np.uint8]:
    """Load an image file as RGB pixels of one size, upright according to its EXIF orientation.

    A warning is issued if the file holds several frames or pages, of which the first is read.

    Args:
        path: the image file.
        size: the side in pixels to which the image is resized, at least 32.
        smallest: the shortest side in pixels that the image in the file may have.

    Returns:
        The pixels, ``(size, size, 3)`` uint8.

    Raises:
        InputError: if ``size`` is under 32, a side of the image is under ``smallest``, or the file does not exist, is
            damaged, is not an image in one of the formats that are read, has more than 200 million pixels or more than
            8 bits per channel, or is transparent everywhere.

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
    return resized(_read(path, smallest), size)


def read_picture(path: str | Path, *, smallest: int = SMALLEST_SIZE) -> NDArray[np.uint8]:
    """Read an image file as RGB pixels of its original size, upright according to its EXIF orientation.

    ``load_image`` resizes these pixels.

    Args:
        path: the image file.
        smallest: the shortest side in pixels that the image in the file may have.

    Returns:
        The pixels, ``(H, W, 3)`` uint8.

    Raises:
        InputError: as for ``load_image``.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from pcacam_jax.data import read_picture
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (60, 40)).save(f"{folder}/grey.png")
        ...     read_picture(f"{folder}/grey.png").shape
        (40, 60, 3)
    """
    return np.asarray(_read(path, smallest))


def _read(path: str | Path, smallest: int) -> Image.Image:
    picture = decode_file(path, smallest=smallest)
    if picture.several:
        warnings.warn(f"the image {printable(path)} holds several frames or pages; the first is read.", stacklevel=3)
    return picture.image


def decode_file(path: str | Path, *, smallest: int = SMALLEST_SIZE) -> Picture:
    """Return the image in a file; see ``load_image``."""
    path, name = existing_file(path, "the image"), printable(path)
    try:
        with path.open("rb") as file:
            return decode_image(file, name, smallest=smallest)
    except OSError as error:
        raise InputError(f"the image {name} cannot be read ({error.strerror}); check its permissions.") from error


def decode_image(file: BinaryIO, name: str, *, smallest: int = SMALLEST_SIZE) -> Picture:
    """Return the image in an open file, which error messages call ``name``.

    Raises:
        InputError: as for ``load_image``.
    """
    bits, depth = bits_per_channel(file), grey_depth(file)
    if bits > 8:
        raise InputError(_too_deep(name, bits))
    try:
        with _pillow_settings(), Image.open(file, formats=_formats()) as image:
            _check_sides(image.size, name, smallest)
            several = bool(getattr(image, "is_animated", False))
            image.load()
            if image.mode[0] in "IF":
                raise InputError(_too_deep(name, 16 if "16" in image.mode else 32))
            picture, orientation = _opaque(image, name, depth), _orientation(image)
            method = _UPRIGHT.get(orientation)
            return Picture(picture.transpose(method) if method is not None else picture, several, orientation)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(_too_large(name, str(error))) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"the image {name} cannot be decoded, because it is damaged or in none of the formats "
            f"{', '.join(_formats())}; repair it, convert it to PNG or remove it."
        ) from error
    # On damaged files, Pillow's decoders raise exceptions of many types, which have no common base class
    except Exception as error:
        raise InputError(f"the image {name} cannot be decoded ({one_line(error)}); repair it or remove it.") from error


def _too_deep(name: str, bits: int) -> str:
    # The range of values in such data differs from file to file, so the user has to choose it
    return (
        f"the image {name} must have 8 bits per channel, but it has {bits}; choose a range of values and save it with "
        "8 bits."
    )


def _check_sides(sides: tuple[int, int], name: str, smallest: int) -> None:
    if min(sides) < smallest:
        raise InputError(
            f"the image {name} must be at least {smallest} x {smallest} pixels; got {sides[0]} x {sides[1]}, too few "
            "to enlarge; give a larger image."
        )


def _too_large(name: str, message: str) -> str:
    pixels = re.search(r"\d+", message)
    count = f"{int(pixels[0]):,}" if pixels else "more"
    return (
        f"the image {name} must have at most {MOST_PIXELS:,} pixels, but it has {count}; save it at a lower resolution "
        "or cut it into parts."
    )


def is_transparent(file: BinaryIO) -> bool:
    """Return whether the image in an open file has an alpha channel or a colour that counts as transparent."""
    known = states_transparency(file)
    if known is None:
        with contextlib.suppress(Exception), _pillow_settings(), Image.open(file, formats=_formats()) as image:
            known = image.has_transparency_data
    file.seek(0)
    return bool(known)


def _opaque(image: Image.Image, name: str, depth: int) -> Image.Image:
    """Return an image of any 8-bit mode as RGB, with transparent pixels blended with ``BACKGROUND``."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    colour = image.info.get("transparency")
    if image.mode == "L" and isinstance(colour, int):
        # Pillow scales grey pixels of 2 or 4 bits to 8, but not the grey that counts as transparent
        image.info["transparency"] = colour * 255 // (2**depth - 1)
    rgba = image.convert("RGBA")
    alpha = rgba.getchannel("A")
    if alpha.getextrema() == (0, 0):
        raise InputError(
            f"the image {name} must have visible pixels, but it is transparent everywhere; save it without an alpha "
            "channel."
        )
    picture = Image.new("RGB", rgba.size, BACKGROUND)
    picture.paste(rgba, mask=alpha)
    return picture


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 if it has none; EXIF data that cannot be read are ignored."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        orientation = int(value[0] if isinstance(value, tuple | bytes) else value)
    # Odd EXIF data raise exceptions of many types, and the pixels do not depend on them
    except Exception:
        return 1
    return orientation if orientation in _UPRIGHT else 1


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextlib.contextmanager
def _pillow_settings() -> Iterator[None]:
    """Make Pillow silent, strict about truncated files and limited to ``MOST_PIXELS``, whatever the program has set."""
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Pillow rejects an image of more than twice its limit
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = MOST_PIXELS // 2, False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def pixels_to_rgb(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return pixels of shape ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)`` as ``(size, size, 3)`` RGB."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
    return resized(image.convert("RGB"), size)


def resized(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return an RGB image as ``(size, size, 3)`` pixels."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def check_size(size: int) -> None:
    """Raise an ``InputError`` if a side of ``size`` pixels is too small for VGG16, that is, under 32."""
    if not isinstance(size, Integral) or size < SMALLEST_SIZE:
        raise InputError(
            f"the image size must be an integer and at least {SMALLEST_SIZE} pixels, got {shown(size)}; choose a "
            "larger one."
        )

"""Validation of the arguments of figures: finite arrays of an expected shape, images and counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError, check_finite


def numbers(
    name: str, values: ArrayLike | None, shape: tuple[int | str, ...], *, lowest: float = -np.inf
) -> np.ndarray:
    """Return ``values`` as a finite float64 array of the expected shape.

    Args:
        name: what error messages call the values.
        values: the array to check.
        shape: the expected shape. A string, such as ``"h"``, allows any size of at least 1.
        lowest: the smallest value that is allowed.

    Raises:
        InputError: ``values`` is not an array of finite numbers, has another shape, or has a value below ``lowest``.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers; got {type(values).__name__} ({error}).") from error
    fits = array.ndim == len(shape) and all(
        size == side if isinstance(side, int) else size > 0 for size, side in zip(array.shape, shape, strict=True)
    )
    if not fits:
        expected = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise InputError(f"{name} must have shape ({expected}), each size at least 1; got {array.shape}.")
    check_finite(name, array)
    if array.size and array.min() < lowest:
        raise InputError(f"{name} must not contain values below {lowest:g}; the lowest is {array.min():g}.")
    return array


def picture(values: ArrayLike) -> np.ndarray:
    """Return ``values`` as an image, a (H, W, 3) uint8 array.

    Raises:
        InputError: ``values`` has another shape or dtype.
    """
    array = np.asarray(values)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise InputError(
            f"image must be uint8 of shape (H, W, 3); got {array.dtype} of shape {array.shape}; "
            "scale it to 0..255 and repeat a grey channel three times."
        )
    return array


def shrunk(pixels: np.ndarray, most: int = 600) -> np.ndarray:
    """Return an image with at most ``most`` pixels per side, means over square blocks; smaller images are unchanged.

    Panels draw an image many times, and each drawing copies its pixels.
    """
    block = -(-max(pixels.shape[:2]) // most)
    if block == 1:
        return pixels
    padding = [(0, -side % block) for side in pixels.shape[:2]]
    padded = np.pad(pixels, [*padding, (0, 0)], mode="edge")
    blocks = padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def positive_number(name: str, value: float) -> float:
    """Return ``value`` as a float, or raise an InputError if it is not finite or not above zero."""
    number = float(numbers(name, value, ()))
    if number <= 0:
        raise InputError(f"{name} must be above 0; got {number:g}.")
    return number


def check_count(name: str, values: Sequence, count: int, per: str) -> None:
    """Raise an InputError unless ``values`` has ``count`` entries, one for each ``per``, such as "image"."""
    if len(values) != count:
        raise InputError(f"{name} must have one entry per {per}: expected {count}, got {len(values)}.")

"""Validation of the arguments of figures: finite arrays of an expected shape, images and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pcacam_jax.core.arrays import unwrapped
from pcacam_jax.core.checks import InputError, check_finite, check_items
from pcacam_jax.core.text import one_line, shown


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
    array = as_array(name, values)
    try:
        if np.iscomplexobj(array) or array.dtype.kind in "SUMm" or array.dtype.type is np.void:
            raise TypeError(f"the dtype is {array.dtype}")
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        got = f"{type(values).__name__} ({one_line(error, 100)})"
        raise InputError(f"{name} must be an array of numbers; got {got}.") from error
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


def as_array(name: str, values: ArrayLike | None) -> np.ndarray:
    """Return ``values`` as an array of any dtype, or raise an InputError if they are masked or no array."""
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{name} must not be a masked array, because the mask would be ignored; fill it first.")
    try:
        return np.asarray(unwrapped(values))
    except Exception as error:  # the conversion of the user's object may raise anything
        got = f"{type(values).__name__} ({one_line(error, 100)})"
        raise InputError(f"{name} must be an array of numbers; got {got}.") from error


def check_axes(axes: Any) -> None:
    """Raise a TypeError unless ``axes`` is one Axes of Matplotlib."""
    if not callable(getattr(type(axes), "imshow", None)):
        raise TypeError(
            f"axes must be one matplotlib Axes, such as plt.subplots()[1]; got {type(axes).__name__} {shown(axes)}."
        )


def opacity(value: Any) -> float:
    """Return the argument ``alpha`` as a float, or raise an InputError if it does not lie between 0 and 1."""
    alpha = float(numbers("alpha", value, ()))
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must lie between 0 and 1; got {alpha:g}.")
    return alpha


def index_below(name: str, value: Any, count: int, what: str) -> int:
    """Return an integer, or raise an InputError unless it lies between 0 and ``count - 1``, the last of ``what``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < count:
        raise InputError(f"{name} must lie between 0 and {count - 1}, the last of the {what}; got {shown(value)}.")
    return int(value)


def as_text(name: str, value: Any) -> str:
    """Return a text or a number as text, and None as an empty text; anything else raises an InputError."""
    if value is None:
        return ""
    if not isinstance(value, str | int | float | np.generic):
        raise InputError(f"{name} must be text; got {type(value).__name__} {shown(value)}.")
    return str(value)


def one_flag(name: str, value: Any) -> bool | None:
    """Return one bool, or None for None; an array of several raises an InputError."""
    if value is None:
        return None
    array = as_array(name, value)
    if array.shape or array.dtype != bool:
        raise InputError(f"{name} must be one bool, that of this map, or None; got {shown(value)}.")
    return bool(array)


def picture(values: ArrayLike) -> np.ndarray:
    """Return ``values`` as an image, a (H, W, 3) uint8 array.

    Raises:
        InputError: ``values`` has another shape or dtype.
    """
    array = as_array("image", values)
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


def list_of(name: str, values: Any) -> list[Any]:
    """Return the items of any iterable, the letters of a string, too, or raise an InputError if there are none."""
    return list(values) if isinstance(values, str) else check_items(name, values, "a list")


def check_count(name: str, values: Sequence, count: int, per: str) -> None:
    """Raise an InputError unless ``values`` has ``count`` entries, one for each ``per``, such as "image"."""
    length = len(list_of(name, values))
    if length != count:
        raise InputError(f"{name} must have one entry per {per}: expected {count}, got {length}.")

"""What the figures accept: arrays of finite numbers with a stated shape, and pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError, check_finite


def numbers(name: str, values: ArrayLike, shape: tuple[int | str, ...], *, lowest: float = -np.inf) -> np.ndarray:
    """Return ``values`` as finite float64 numbers of the wanted shape; a letter in ``shape`` stands for any size >= 1.

    Raises:
        InputError: not numbers, another shape, no entries, NaN or infinity, or a value below ``lowest``.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers; got {type(values).__name__} ({error}).") from error
    fits = array.ndim == len(shape) and all(
        size == want if isinstance(want, int) else size > 0 for size, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise InputError(f"{name} must have shape ({wanted}), each size at least 1; got {array.shape}.")
    check_finite(name, array)
    if array.size and array.min() < lowest:
        raise InputError(f"{name} must hold no value below {lowest:g}; the lowest is {array.min():g}.")
    return array


def picture(values: ArrayLike) -> np.ndarray:
    """Return ``values`` as a picture: (H, W, 3), uint8.

    Raises:
        InputError: another shape or dtype.
    """
    array = np.asarray(values)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise InputError(
            f"image must be uint8 of shape (H, W, 3); got {array.dtype} of shape {array.shape}; "
            "scale it to 0..255 and repeat a grey channel three times."
        )
    return array


def positive_number(name: str, value: float) -> float:
    """Return ``value`` as a float if it is finite and above zero, else refuse it."""
    number = float(numbers(name, value, ()))
    if number <= 0:
        raise InputError(f"{name} must be above 0; got {number:g}.")
    return number


def check_count(name: str, values: Sequence, count: int, per: str) -> None:
    """Refuse ``values`` unless there is one per ``per``."""
    if len(values) != count:
        raise InputError(f"{name} must have one entry per {per}: expected {count}, got {len(values)}.")

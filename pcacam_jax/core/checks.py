"""Validation of user input; each error is one sentence that names what was expected, what was given and what to do."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from pcacam_jax.core.text import one_line, shown

SMALLEST_SIZE = 32
"""Smallest side of an image in pixels; VGG16 halves its maps five times, so a smaller image leaves no positions."""


class InputError(ValueError):
    """Invalid input; the message is one sentence that says how to correct it.

    The command line prints the message and exits with code 2.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise, InputError
        >>> try:
        ...     Elementwise("relu", 3)(jnp.ones(2))
        ... except InputError as error:
        ...     print(error)
        u must have shape (3,); got (2,).
    """


def check_finite(name: str, values) -> None:
    """Check that an array holds neither NaN nor infinity; traced values pass, because their numbers are not known yet.

    Args:
        name: what the error message calls the array.
        values: the array, of any shape.

    Raises:
        InputError: a value is NaN or infinite; the message names how many are and the index of the first.
    """
    if isinstance(values, Tracer):
        return
    # A device array is checked on its device and copied to the host only to name its first bad value.
    if isinstance(values, jax.Array):
        with jax.ensure_compile_time_eval():  # a known array may be used inside a trace
            if bool(jnp.isfinite(values).all()):
                return
    finite = np.isfinite(np.asarray(values))
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise InputError(
            f"{name} must be finite, but {int((~finite).sum())} of {finite.size} values are NaN or infinite, "
            f"the first at index {first}; clean them before the call."
        )


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        InputError: it is not; the message lists the choices.
    """
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}; got {shown(value)}.")
    return value


def check_items(name: str, values: Any, expected: str) -> list[Any]:
    """Return the items of a list, a tuple or another iterable; a string is not taken as an iterable.

    Raises:
        InputError: there are no items to iterate over.
    """
    try:
        if not isinstance(values, str | bytes):
            return list(values)
    except TypeError:  # an array without axes has __iter__, too
        pass
    raise InputError(f"{name} must be {expected}; got {type(values).__name__} {shown(values)}.")


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is a bool.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {shown(value)}.")
    return bool(value)


def check_device() -> None:
    """Check that JAX has a device to compute on.

    Raises:
        InputError: the platforms that were chosen do not exist here.
    """
    try:
        jax.devices()
    except Exception as error:  # JAX raises a RuntimeError, and an AssertionError the second time
        platforms = getattr(jax.config, "jax_platforms", None)
        raise InputError(
            f"JAX must have a device of the platforms {platforms!r}, which JAX_PLATFORMS or "
            f"jax.config names, but finds none ({one_line(error, 120)}); set JAX_PLATFORMS=cpu, or install JAX for it."
        ) from error


def check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Check the shape of an array.

    Raises:
        InputError: the shape differs; the message suggests :func:`jax.vmap` if there is one more axis than expected.
    """
    if tuple(shape) != tuple(expected):
        batched = len(shape) == len(expected) + 1
        hint = "; a stage takes one example, so write jax.vmap(stage) for a batch" if batched else ""
        raise InputError(f"{name} must have shape {tuple(expected)}; got {tuple(shape)}{hint}.")

"""Checks at the boundary: bad input gets one sentence that says what was expected, what came and what to do."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

SMALLEST_SIZE = 32
"""Shortest side of an image in pixels: VGG16 halves its maps five times, so below this nothing is left."""


class InputError(ValueError):
    """Input that the library refuses; its text is one sentence that a user can act on.

    The command line prints the sentence and exits with code 2.
    """


def check_finite(name: str, values) -> None:
    """Refuse NaN and infinity in ``values``; traced values pass, since they hold no numbers yet.

    Raises:
        InputError: with the number of bad values and the position of the first.
    """
    if isinstance(values, Tracer):
        return
    # Device arrays are checked where they are; only bad ones are copied to the host, to be named.
    if isinstance(values, jax.Array) and bool(jnp.isfinite(values).all()):
        return
    finite = np.isfinite(np.asarray(values))
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise InputError(
            f"{name} must be finite, but {int((~finite).sum())} of {finite.size} values are NaN or infinite, "
            f"the first at index {first}; clean them before the call."
        )


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``, else refuse it and list them."""
    choices = list(choices)
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
    return value


def check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Refuse an array whose shape is not the expected one."""
    if tuple(shape) != tuple(expected):
        batched = len(shape) == len(expected) + 1
        hint = "; a stage takes one example, so write jax.vmap(stage) for a batch" if batched else ""
        raise InputError(f"{name} must have shape {tuple(expected)}; got {tuple(shape)}{hint}.")

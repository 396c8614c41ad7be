"""The options of CAM methods, and the check of their values."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.text import shown
from pcacam_jax.head.batches import checked_count

MOST_SAMPLES = 100_000
PLAYERS = ("positions", "maps")
"""The players of the game of "shapcam"."""


def _number(value: Any) -> float:
    """Return a finite number, or NaN for anything else."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
    return float(value) if is_number and np.isfinite(value) else float("nan")


def _positive(name: str, value: Any) -> float:
    if not _number(value) > 0:
        raise InputError(f"{name} must be a positive number; got {shown(value)}.")
    return float(value)


def _not_negative(name: str, value: Any) -> float:
    if not _number(value) >= 0:
        raise InputError(f"{name} must be a number of at least 0; got {shown(value)}.")
    return float(value)


def checked_samples(name: str, value: Any) -> int:
    """Return a number of noisy images or permutations.

    Raises:
        InputError: it is not an integer from 1 to :data:`MOST_SAMPLES`.
    """
    samples = checked_count(name, value)
    if samples > MOST_SAMPLES:
        raise InputError(f"{name} must be at most {MOST_SAMPLES:,}; got {shown(value)}.")
    return samples


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "target_scale": _positive,
    "tolerance": _not_negative,
    "samples": checked_samples,
    "top": lambda name, value: None if value is None else checked_count(name, value),
    "players": lambda name, value: check_choice(name, value, PLAYERS),
}
"""For each option, a function of its name and a value that returns the value or raises."""


def checked_options(method: str, defaults: dict[str, Any], options: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the options of a method, with defaults for those that are not given.

    Raises:
        InputError: an option is unknown, or its value is out of range.
    """
    for name in options:
        if not defaults:
            raise InputError(f"method {method!r} has no options; got {name!r}.")
        check_choice(f"an option of {method!r}", name, defaults)
    checked = {name: CHECKS[name](name, value) for name, value in options.items()}
    return tuple((defaults | checked).items())


def checked_seed(seed: Any) -> int:
    """Return a seed as an ``int``.

    Raises:
        InputError: it is not an integer from 0 to 2^32 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InputError(f"seed must be an integer from 0 to 2^32 - 1; got {shown(seed)}.")
    return int(seed)

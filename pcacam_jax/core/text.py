"""Values formatted for use inside sentences."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def one_line(value: Any, most: int = 200) -> str:
    """Return the text of a value on one line, cut after ``most`` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}..."


def shown(value: Any, most: int = 60) -> str:
    """Return the representation of any value on one line, also if it is an array, long, or has no representation."""
    try:
        return one_line(repr(value), most)
    except Exception:  # the value is the user's, and so is its __repr__
        return f"a {type(value).__name__}"


def abbreviated(values: Sequence[Any] | np.ndarray) -> str:
    """Return the first twelve values separated by commas, and "..." if there are more."""
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")


def listed(names: Iterable[str]) -> str:
    """Return the names joined as "A, B and C", or "none" if there are no names."""
    *others, last = [*names] or ["none"]
    return f"{', '.join(others)} and {last}" if others else last


def percent(share: float | None) -> str:
    """Return a share as a percentage such as "81 %", or "an undefined share" for None."""
    return "an undefined share" if share is None else f"{100 * share:.0f} %"


def percentile(percentage: float) -> str:
    """Return a percentage of examples as a text; "0 %" and "100 %" mean none and all.

    Example:
        >>> from pcacam_jax.core.text import percentile
        >>> percentile(96.6), percentile(99.97), percentile(100)
        ('97 %', '99.9 %', '100 %')
    """
    if 1 <= percentage <= 99 or percentage in (0, 100):
        return f"{percentage:.0f} %"
    return f"{np.clip(percentage, 0.1, 99.9):.1f} %"


def ranked(rank: int, count: int, other: str) -> str:
    """Return a rank beside the best of the others.

    Example:
        >>> from pcacam_jax.core.text import ranked
        >>> ranked(1, 3, "dog 0.06"), ranked(2, 3, "cat 0.3")
        ('1 of 3, runner-up dog 0.06', '2 of 3, highest cat 0.3')
    """
    return f"{rank} of {count}, {'runner-up' if rank == 1 else 'highest'} {other}"


def number(value: float | None) -> str:
    """Return a number with two decimals, or "undefined" for None."""
    return "undefined" if value is None else f"{value:.2f}"

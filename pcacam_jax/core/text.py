"""Values as words inside sentences."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def plain(value: Any, most: int = 200) -> str:
    """Return text on one line and of bounded length, for use inside a sentence."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}..."


def few(values: Sequence[Any] | np.ndarray) -> str:
    """Return up to twelve values in a row, and dots if there are more."""
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")


def listed(names: Iterable[str]) -> str:
    """Return "A, B and C", or "none" for no names."""
    *others, last = [*names] or ["none"]
    return f"{', '.join(others)} and {last}" if others else last


def percent(share: float | None) -> str:
    """Return a share as "81 %", or words where there is none."""
    return "an undefined share" if share is None else f"{100 * share:.0f} %"


def number(value: float | None) -> str:
    """Return a number with two decimals, or "undefined"."""
    return "undefined" if value is None else f"{value:.2f}"

"""Values as words inside sentences."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def plain(value: Any, most: int = 200) -> str:
    """Return text on one line and of bounded length, for use inside a sentence."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}..."


def few(values: Sequence[Any] | np.ndarray) -> str:
    """Return up to twelve values in a row, and dots if there are more."""
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Return "A, B and C"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) if names else "none"

"""Directions along which Jacobians are compared: every input for small stages, seeded random ones for large stages.

For random signs v, the mean of ``||(J - J') v||^2`` is ``||J - J'||^2`` in the Frobenius norm. The relative error along
a few hundred directions therefore estimates the relative error of the whole Jacobian.
"""

import math
from typing import Any, NamedTuple

import numpy as np

ALL_UP_TO = 512
"""Largest input size for which all directions are used."""

COUNT = 192
"""Number of random directions for larger inputs."""

BLOCK = 32
"""Number of directions evaluated at once, to bound memory."""


class Directions(NamedTuple):
    """Directions in the input space of a stage."""

    vectors: Any
    """Their entries, ``(k, n)`` int8."""
    complete: bool
    """Whether they are the n unit vectors, so that the comparison covers the whole Jacobian."""

    @property
    def weight(self) -> float:
        """The Frobenius norm of ``J V`` divided by that of J, in the root mean square over random directions."""
        return 1.0 if self.complete else math.sqrt(len(self.vectors))


def directions(size: int) -> Directions:
    """Return the unit vectors of an input of at most :data:`ALL_UP_TO` entries, else :data:`COUNT` random signs."""
    if size <= ALL_UP_TO:
        return Directions(np.eye(size, dtype=np.int8), complete=True)
    return Directions(random_signs(COUNT, size, seed=0), complete=False)


def random_signs(count: int, size: int, *, seed: int) -> np.ndarray:
    """Return ``count`` vectors of random signs, ``(count, size)`` int8."""
    return (2 * np.random.default_rng(seed).integers(0, 2, size=(count, size), dtype=np.int8) - 1).astype(np.int8)

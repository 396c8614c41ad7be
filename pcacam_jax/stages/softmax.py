"""Softmax and its logarithm, from class scores to (log-)probabilities."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector


class Probabilities(NamedTuple):
    """p, the place of its first maximum, and 1 - p."""

    p: Vector
    first: Bool[Array, " C"]
    rest: Vector


def log_softmax(y: Vector) -> Vector:
    """Return y - log sum_c exp(y_c), which keeps its digits where a probability rounds to 1.

    With m the largest score's place this is y - y_m - log(1 + sum_{c != m} exp(y_c - y_m)).
    """
    place = jnp.argmax(y)
    shifted = y - y[place]
    others = jnp.where(jnp.arange(len(y)) == place, 0, jnp.exp(shifted))
    return shifted - jnp.log1p(jnp.sum(others))


@pytree
class Softmax:
    """y -> p = exp(y) / sum_c exp(y_c), or log p if ``log``: (C,) -> (C,).

    The Jacobian is diag(p) - p p^T; of the logarithm it is I - 1 p^T.
    """

    size: int = static()
    """C."""
    log: bool = static(default=False)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(C,)."""
        return (self.size,)

    def __call__(self, y: Vector) -> Vector:
        """Return p or log p."""
        check_shape("y", y.shape, self.in_shape)
        return log_softmax(y) if self.log else jax.nn.softmax(y)

    def forward(self, y: Vector) -> tuple[Vector, Probabilities]:
        """Return the value and p, where its maximum is, and 1 - p."""
        value, p = self(y), jax.nn.softmax(y)
        first = jnp.arange(self.size) == jnp.argmax(p)
        # 1 - p has no digits left where p rounds to 1; the sum of the others has them all.
        return value, Probabilities(p, first, jnp.where(first, jnp.sum(jnp.where(first, 0, p)), 1 - p))

    def pull_back(self, saved: Probabilities, rows: Rows) -> Rows:
        """Return rows diag(p) - (rows p) p^T, or rows - (rows 1) p^T for the logarithm."""
        p, first, rest = saved
        if self.log:
            return rows * rest[None] - (jnp.sum(rows, axis=1, keepdims=True) - rows) * p[None]
        # A constant added to a row changes nothing; the one that clears the maximum's entry spares digits there.
        rows = rows - jnp.sum(jnp.where(first[None], rows, 0), axis=1, keepdims=True)
        return (rows - matmul(rows, p)[:, None]) * p[None]

    def jacobian(self, saved: Probabilities) -> Float[Array, "C C"]:
        """Return diag(p) - p p^T, or I - 1 p^T for the logarithm."""
        return self.pull_back(saved, jnp.eye(self.size, dtype=saved.p.dtype))

"""Softmax and log-softmax of class scores."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector
from pcacam_jax.stages.taylor import composed


class Probabilities(NamedTuple):
    """The probabilities p, a mask of the first maximum of p, and ``1 - p``."""

    p: Vector
    first: Bool[Array, " C"]
    rest: Vector


def log_softmax(y: Vector) -> Vector:
    """Return ``y - log sum_c exp(y_c)``, accurate also where a probability rounds to 1.

    It is computed as ``y - y_m - log(1 + sum_{c != m} exp(y_c - y_m))``, where m is the index of the largest score.
    """
    largest = jnp.argmax(y)
    shifted = y - y[largest]
    others = jnp.where(jnp.arange(len(y)) == largest, 0, jnp.exp(shifted))
    return shifted - jnp.log1p(jnp.sum(others))


@pytree
class Softmax:
    """Softmax ``p = exp(y) / sum_c exp(y_c)`` of class scores, or log p, ``(C,) -> (C,)``.

    The Jacobian of p is ``diag(p) - p p^T``, and the Jacobian of log p is ``I - 1 p^T``.

    Args:
        size: C.
        log: whether to return log p.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Softmax
        >>> [round(float(p), 3) for p in Softmax(2)(jnp.array([0.0, 1.0]))]
        [0.269, 0.731]
    """

    size: int = static()
    log: bool = static(default=False)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(C,)``."""
        return (self.size,)

    def __call__(self, y: Vector) -> Vector:
        """Return p or log p."""
        check_shape("y", y.shape, self.in_shape)
        return log_softmax(y) if self.log else jax.nn.softmax(y)

    def forward(self, y: Vector) -> tuple[Vector, Probabilities]:
        """Return the value and the residuals: p, its first maximum, and ``1 - p``."""
        value, p = self(y), jax.nn.softmax(y)
        first = jnp.arange(self.size) == jnp.argmax(p)
        # At the maximum, 1 - p cancels where p rounds to 1; the sum of the other probabilities is accurate.
        return value, Probabilities(p, first, jnp.where(first, jnp.sum(jnp.where(first, 0, p)), 1 - p))

    def pull_back(self, saved: Probabilities, rows: Rows) -> Rows:
        """Return ``rows diag(p) - (rows p) p^T``, or ``rows - (rows 1) p^T`` for log p."""
        p, first, rest = saved
        if self.log:
            return rows * rest[None] - (jnp.sum(rows, axis=1, keepdims=True) - rows) * p[None]
        # Adding a constant to a row does not change the result. Making the entry at the maximum 0 avoids cancellation.
        rows = rows - jnp.sum(jnp.where(first[None], rows, 0), axis=1, keepdims=True)
        return (rows - matmul(rows, p)[:, None]) * p[None]

    def jacobian(self, saved: Probabilities) -> Float[Array, "C C"]:
        """Return ``diag(p) - p p^T``, or ``I - 1 p^T`` for log p."""
        return self.pull_back(saved, jnp.eye(self.size, dtype=saved.p.dtype))

    def curvature(self, y: Vector, tangent: Vector, rows: Rows) -> Rows:
        """Return the second derivative along a direction t, with ``dp = p * (t - p^T t)``.

        It is ``dp * (rows - rows p) - (rows dp) p^T``, or ``-(rows 1) dp^T`` for log p.
        """
        p, first, _ = self.forward(y)[1]
        # Constants added to the direction or to a row cancel, so both are made 0 at the maximum.
        tangent = tangent - jnp.sum(jnp.where(first, tangent, 0))
        change = p * (tangent - matmul(p, tangent))
        if self.log:
            return -jnp.sum(rows, axis=1, keepdims=True) * change[None]
        rows = rows - jnp.sum(jnp.where(first[None], rows, 0), axis=1, keepdims=True)
        return (rows - matmul(rows, p)[:, None]) * change[None] - matmul(rows, change)[:, None] * p[None]

    def taylor(self, y: Vector, series: Float[Array, "3 C"]) -> Float[Array, "3 C"]:
        """Return the derivatives of log p along a path, from the central moments of the path under p, or those of p."""
        p, first, _ = self.forward(y)[1]
        series = series - jnp.sum(jnp.where(first[None], series, 0), axis=1, keepdims=True)
        x1, x2, x3 = series - matmul(series, p)[:, None]
        log1, log2 = x1, x2 - matmul(p, x1 * x1)
        log3 = x3 - 3 * matmul(p, x1 * x2) - matmul(p, x1 * x1 * x1)
        if self.log:
            return jnp.stack([log1, log2, log3])
        return composed((p, p, p), jnp.stack([log1, log2, log3]))

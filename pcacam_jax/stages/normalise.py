"""Normalisation of a vector to unit norm, with the norms of scikit-learn's Normalizer."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_choice, check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Scalar, Vector


class Norm(NamedTuple):
    """A norm of a vector and its gradient."""

    value: Callable[[Vector], Scalar]
    gradient: Callable[[Vector], Vector]


def l2(x: Vector) -> Scalar:
    """Return ``||x|| = sqrt(sum_j x_j^2)``."""
    # The inner where avoids the NaN that autodiff of sqrt gives at x = 0.
    square = jnp.sum(x * x)
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))


def l2_gradient(x: Vector) -> Vector:
    """Return ``d||x||/dx = x / ||x||``, or 0 at ``x = 0``."""
    norm = l2(x)
    return x / jnp.where(norm == 0, 1, norm)


def l1(x: Vector) -> Scalar:
    """Return ``||x|| = sum_j |x_j|``."""
    # JAX gives |x_j| the slope 1 at 0; sign(x_j) x_j has the slope 0 there, like the closed form.
    return jnp.sum(jnp.sign(x) * x)


def largest(x: Vector) -> Scalar:
    """Return ``||x|| = max_j |x_j|``."""
    # Indexing by argmax gives the whole derivative to the first of equal entries; jnp.max would share it among them.
    return jnp.abs(x[jnp.argmax(jnp.abs(x))])


def largest_gradient(x: Vector) -> Vector:
    """Return ``d||x||/dx = sign(x_m) e_m``, where m is the first index of the maximum."""
    first = jnp.arange(len(x)) == jnp.argmax(jnp.abs(x))
    return jnp.where(first, jnp.sign(x), 0)


NORMS: dict[str, Norm] = {
    "l1": Norm(l1, jnp.sign),
    "l2": Norm(l2, l2_gradient),
    "max": Norm(largest, largest_gradient),
}
"""The supported norms by their names in scikit-learn."""


@pytree
class Normalise:
    """Normalisation ``y = x / ||x||``, ``(d,) -> (d,)``.

    The Jacobian is ``(I - y n^T) / ||x||``, where n is the gradient of the norm. As in scikit-learn's Normalizer, a
    vector whose norm is below 10 eps is returned unchanged; its Jacobian is I.

    Args:
        norm: ``l1``, ``l2`` or ``max``.
        size: d.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Normalise
        >>> [round(float(y), 3) for y in Normalise("l2", 2)(jnp.array([3.0, 4.0]))]
        [0.6, 0.8]
    """

    norm: str = static()
    size: int = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.size,)

    def __call__(self, x: Vector) -> Vector:
        """Return ``x / ||x||``."""
        return self.forward(x)[0]

    def forward(self, x: Vector) -> tuple[Vector, tuple[Scalar, Vector, Vector]]:
        """Return y and the residuals ``(||x||, y, n)``, which are ``(1, x, 0)`` if x is returned unchanged."""
        check_shape("x", x.shape, self.in_shape)
        # Integers have no eps, so they are converted to floating point.
        x = jnp.asarray(x, jnp.result_type(float, x))
        function = NORMS[check_choice("norm", self.norm, NORMS)]
        norm = function.value(x)
        vanishes = norm < 10 * jnp.finfo(x.dtype).eps
        divisor = jnp.where(vanishes, 1, norm)
        y = x / divisor
        return y, (divisor, y, jnp.where(vanishes, 0, function.gradient(x)))

    def pull_back(self, saved: tuple[Scalar, Vector, Vector], rows: Rows) -> Rows:
        """Return ``(rows - (rows y) n^T) / ||x||``."""
        divisor, y, gradient = saved
        return (rows - matmul(rows, y)[:, None] * gradient[None]) / divisor

    def jacobian(self, saved: tuple[Scalar, Vector, Vector]) -> Float[Array, "d d"]:
        """Return ``(I - y n^T) / ||x||``."""
        return self.pull_back(saved, jnp.eye(self.size, dtype=saved[1].dtype))

"""Normalisation: one example divided by its own norm."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_choice, check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Scalar, Vector


class Norm(NamedTuple):
    """||x|| of a vector and its gradient."""

    value: Callable[[Vector], Scalar]
    gradient: Callable[[Vector], Vector]


def l2(x: Vector) -> Scalar:
    """||x|| = sqrt(sum_j x_j^2), without a NaN in its derivative at x = 0."""
    square = jnp.sum(x * x)
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))


def l2_gradient(x: Vector) -> Vector:
    """d||x||/dx = x / ||x||, 0 at x = 0."""
    norm = l2(x)
    return x / jnp.where(norm == 0, 1, norm)


def l1(x: Vector) -> Scalar:
    """||x|| = sum_j |x_j|, with derivative 0 where x_j = 0."""
    # JAX gives |x_j| the slope 1 at 0.
    return jnp.sum(jnp.sign(x) * x)


def largest(x: Vector) -> Scalar:
    """||x|| = max_j |x_j|, read at the first of equals, so that its derivative is not spread over all of them."""
    return jnp.abs(x[jnp.argmax(jnp.abs(x))])


def largest_gradient(x: Vector) -> Vector:
    """d||x||/dx = sign(x_m) e_m, m the first place of the maximum."""
    winner = jnp.arange(len(x)) == jnp.argmax(jnp.abs(x))
    return jnp.where(winner, jnp.sign(x), 0)


NORMS: dict[str, Norm] = {
    "l1": Norm(l1, jnp.sign),
    "l2": Norm(l2, l2_gradient),
    "max": Norm(largest, largest_gradient),
}
"""Every norm by scikit-learn's name."""


@pytree
class Normalise:
    """x -> x / ||x||: (d,) -> (d,); the Jacobian is (I - y n^T) / ||x||, y the value and n the norm's gradient.

    As in scikit-learn's Normalizer, a vector whose norm is below 10 eps is left as it is: there the Jacobian is I.
    """

    norm: str = static()
    """A name in :data:`NORMS`."""
    size: int = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.size,)

    def __call__(self, x: Vector) -> Vector:
        """Return x / ||x||."""
        return self.forward(x)[0]

    def forward(self, x: Vector) -> tuple[Vector, tuple[Scalar, Vector, Vector]]:
        """Return y and ||x||, y, n; n is 0 where x is left as it is."""
        check_shape("x", x.shape, self.in_shape)
        # Whole numbers are taken as floating ones, which have an eps.
        x = jnp.asarray(x, jnp.result_type(float, x))
        own = NORMS[check_choice("norm", self.norm, NORMS)]
        norm = own.value(x)
        vanishes = norm < 10 * jnp.finfo(x.dtype).eps
        divisor = jnp.where(vanishes, 1, norm)
        y = x / divisor
        return y, (divisor, y, jnp.where(vanishes, 0, own.gradient(x)))

    def pull_back(self, saved: tuple[Scalar, Vector, Vector], rows: Rows) -> Rows:
        """Return (rows - (rows y) n^T) / ||x||."""
        divisor, y, gradient = saved
        return (rows - matmul(rows, y)[:, None] * gradient[None]) / divisor

    def jacobian(self, saved: tuple[Scalar, Vector, Vector]) -> Float[Array, "d d"]:
        """Return (I - y n^T) / ||x||."""
        return self.pull_back(saved, jnp.eye(self.size, dtype=saved[1].dtype))

"""Affine stages: PCA with or without whitening, scalers, sums of scores. x -> A (x - center) + offset."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Rows, Vector


@pytree
class Affine:
    """x -> A (x - center) + offset: (d,) -> (out,); the Jacobian is A at every x.

    PCA: A = P^T, center = mu, offset = 0 (Eq. 5, 23); with whitening A = diag(lambda)^(-1/2) P^T.
    """

    matrix: Float[Array, "out d"]
    center: Float[Array, " d"]
    offset: Float[Array, " out"]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.matrix.shape[1],)

    def __call__(self, x: Vector) -> Float[Array, " out"]:
        """Return A (x - center) + offset."""
        check_shape("x", x.shape, self.in_shape)
        # The center is taken off first: A x - A center cancels digits when the data lie far from the origin.
        return matmul(self.matrix, x - self.center) + self.offset

    def forward(self, x: Vector) -> tuple[Float[Array, " out"], None]:
        """Return the value; the derivative needs nothing of the forward pass."""
        return self(x), None

    def pull_back(self, saved: None, rows: Rows) -> Rows:
        """Return rows A."""
        return matmul(rows, self.matrix)

    def jacobian(self, saved: None) -> Float[Array, "out d"]:
        """Return A, Eq. 23."""
        return self.matrix


@pytree
class Scaling:
    """x -> scale * (x - center) entry by entry: (d,) -> (d,); the Jacobian is diag(scale)."""

    scale: Float[Array, " d"]
    center: Float[Array, " d"]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.scale.shape[0],)

    def __call__(self, x: Vector) -> Vector:
        """Return scale * (x - center)."""
        check_shape("x", x.shape, self.in_shape)
        return self.scale * (x - self.center)

    def forward(self, x: Vector) -> tuple[Vector, None]:
        """Return the value; the derivative needs nothing of the forward pass."""
        return self(x), None

    def pull_back(self, saved: None, rows: Rows) -> Rows:
        """Return rows diag(scale)."""
        return rows * self.scale[None]

    def jacobian(self, saved: None) -> Float[Array, "d d"]:
        """Return diag(scale)."""
        return jnp.diag(self.scale)

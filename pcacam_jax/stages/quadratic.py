"""Quadratic class scores, as the log density of a normal distribution per class has them."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Rows, Vector


@pytree
class Quadratic:
    """x -> offset_c - ||A_c (x - center_c)||^2 / 2: (d,) -> (C,); row c of the Jacobian is -(x - center_c)^T A_c^T A_c.

    A_c^T A_c is the inverse covariance of class c.
    """

    factors: Float[Array, "C r d"]
    """A_c."""
    centers: Float[Array, "C d"]
    offset: Float[Array, " C"]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.centers.shape[1],)

    def __call__(self, x: Vector) -> Float[Array, " C"]:
        """Return offset_c - ||A_c (x - center_c)||^2 / 2."""
        whitened = self._whitened(x)
        return self.offset - jnp.sum(whitened * whitened, axis=1) / 2

    def forward(self, x: Vector) -> tuple[Float[Array, " C"], Float[Array, "C d"]]:
        """Return the value and its Jacobian, which is small."""
        return self(x), -matmul(self._whitened(x)[:, None, :], self.factors)[:, 0]

    def pull_back(self, jacobian: Float[Array, "C d"], rows: Rows) -> Rows:
        """Return rows times the Jacobian."""
        return matmul(rows, jacobian)

    def jacobian(self, jacobian: Float[Array, "C d"]) -> Float[Array, "C d"]:
        """Return -(x - center_c)^T A_c^T A_c, row by row."""
        return jacobian

    def _whitened(self, x: Vector) -> Float[Array, "C r"]:
        check_shape("x", x.shape, self.in_shape)
        return matmul(self.factors, (x[None] - self.centers)[:, :, None])[:, :, 0]


@pytree
class DiagonalQuadratic:
    """x -> offset_c - sum_j q_cj (x_j - center_cj)^2 / 2: (d,) -> (C,); the Jacobian is -q_cj (x_j - center_cj)."""

    precisions: Float[Array, "C d"]
    """q, the inverse variances."""
    centers: Float[Array, "C d"]
    offset: Float[Array, " C"]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.centers.shape[1],)

    def __call__(self, x: Vector) -> Float[Array, " C"]:
        """Return offset_c - sum_j q_cj (x_j - center_cj)^2 / 2."""
        check_shape("x", x.shape, self.in_shape)
        difference = x[None] - self.centers
        return self.offset - jnp.sum(self.precisions * difference * difference, axis=1) / 2

    def forward(self, x: Vector) -> tuple[Float[Array, " C"], Float[Array, "C d"]]:
        """Return the value and its Jacobian, which is small."""
        return self(x), -self.precisions * (x[None] - self.centers)

    def pull_back(self, jacobian: Float[Array, "C d"], rows: Rows) -> Rows:
        """Return rows times the Jacobian."""
        return matmul(rows, jacobian)

    def jacobian(self, jacobian: Float[Array, "C d"]) -> Float[Array, "C d"]:
        """Return -q_cj (x_j - center_cj), row by row."""
        return jacobian

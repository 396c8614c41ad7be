"""Quadratic class scores, such as the log densities of one normal distribution per class."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Rows, Vector


def square_derivatives(z: Float[Array, "C r"], series: Float[Array, "3 C r"]) -> Float[Array, "3 C r"]:
    """Return the first three derivatives of ``-z(t)^2 / 2``, element-wise."""
    z1, z2, z3 = series
    return -jnp.stack([z * z1, z1 * z1 + z * z2, 3 * z1 * z2 + z * z3])


@pytree
class Quadratic:
    """Quadratic class scores ``offset_c - ||A_c (x - center_c)||^2 / 2``, ``(d,) -> (C,)``.

    Row c of the Jacobian is ``-(x - center_c)^T A_c^T A_c``. For the log density of a normal distribution,
    ``A_c^T A_c`` is the inverse covariance of class c.

    Args:
        factors: ``A_c``, ``(C, r, d)``.
        centers: ``center_c``, ``(C, d)``.
        offset: ``offset_c``, ``(C,)``.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Quadratic
        >>> scores = Quadratic(jnp.array([[[1.0, 0.0], [0.0, 2.0]]]), centers=jnp.zeros((1, 2)), offset=jnp.ones(1))
        >>> scores(jnp.array([1.0, 1.0])).tolist()
        [-1.5]
    """

    factors: Float[Array, "C r d"]
    centers: Float[Array, "C d"]
    offset: Float[Array, " C"]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.centers.shape[1],)

    def __call__(self, x: Vector) -> Float[Array, " C"]:
        """Return ``offset_c - ||A_c (x - center_c)||^2 / 2``."""
        whitened = self._whitened(x)
        return self.offset - jnp.sum(whitened * whitened, axis=1) / 2

    def forward(self, x: Vector) -> tuple[Float[Array, " C"], Float[Array, "C d"]]:
        """Return the value and the Jacobian, which serves as the residual."""
        return self(x), -matmul(self._whitened(x)[:, None, :], self.factors)[:, 0]

    def pull_back(self, jacobian: Float[Array, "C d"], rows: Rows) -> Rows:
        """Return ``rows`` times the Jacobian."""
        return matmul(rows, jacobian)

    def jacobian(self, jacobian: Float[Array, "C d"]) -> Float[Array, "C d"]:
        """Return ``-(x - center_c)^T A_c^T A_c`` for each class."""
        return jacobian

    def curvature(self, x: Vector, tangent: Vector, rows: Rows) -> Rows:
        """Return ``-sum_c rows_c tangent^T A_c^T A_c``: ``(T, C) -> (T, d)``."""
        along = matmul(matmul(self.factors, tangent)[:, None, :], self.factors)[:, 0]
        return -matmul(rows, along)

    def taylor(self, x: Vector, series: Float[Array, "3 d"]) -> Float[Array, "3 C"]:
        """Return the derivatives of the scores along a path: ``(3, d) -> (3, C)``."""
        whitened = jnp.moveaxis(matmul(self.factors, series.T), 2, 0)
        return jnp.sum(square_derivatives(self._whitened(x), whitened), axis=2)

    def _whitened(self, x: Vector) -> Float[Array, "C r"]:
        check_shape("x", x.shape, self.in_shape)
        return matmul(self.factors, (x[None] - self.centers)[:, :, None])[:, :, 0]


@pytree
class DiagonalQuadratic:
    """Quadratic class scores ``offset_c - sum_j q_cj (x_j - center_cj)^2 / 2``, ``(d,) -> (C,)``.

    Entry ``(c, j)`` of the Jacobian is ``-q_cj (x_j - center_cj)``.

    Args:
        precisions: the inverse variances ``q_cj``, ``(C, d)``.
        centers: ``center_c``, ``(C, d)``.
        offset: ``offset_c``, ``(C,)``.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import DiagonalQuadratic
        >>> scores = DiagonalQuadratic(jnp.array([[1.0, 4.0]]), centers=jnp.zeros((1, 2)), offset=jnp.ones(1))
        >>> scores(jnp.array([1.0, 1.0])).tolist()
        [-1.5]
    """

    precisions: Float[Array, "C d"]
    centers: Float[Array, "C d"]
    offset: Float[Array, " C"]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.centers.shape[1],)

    def __call__(self, x: Vector) -> Float[Array, " C"]:
        """Return ``offset_c - sum_j q_cj (x_j - center_cj)^2 / 2``."""
        check_shape("x", x.shape, self.in_shape)
        difference = x[None] - self.centers
        return self.offset - jnp.sum(self.precisions * difference * difference, axis=1) / 2

    def forward(self, x: Vector) -> tuple[Float[Array, " C"], Float[Array, "C d"]]:
        """Return the value and the Jacobian, which serves as the residual."""
        return self(x), -self.precisions * (x[None] - self.centers)

    def pull_back(self, jacobian: Float[Array, "C d"], rows: Rows) -> Rows:
        """Return ``rows`` times the Jacobian."""
        return matmul(rows, jacobian)

    def jacobian(self, jacobian: Float[Array, "C d"]) -> Float[Array, "C d"]:
        """Return ``-q_cj (x_j - center_cj)``."""
        return jacobian

    def curvature(self, x: Vector, tangent: Vector, rows: Rows) -> Rows:
        """Return ``-sum_c rows_c q_cj tangent_j``: ``(T, C) -> (T, d)``."""
        return -matmul(rows, self.precisions) * tangent[None]

    def taylor(self, x: Vector, series: Float[Array, "3 d"]) -> Float[Array, "3 C"]:
        """Return the derivatives of the scores along a path: ``(3, d) -> (3, C)``."""
        check_shape("x", x.shape, self.in_shape)
        repeated = jnp.broadcast_to(series[:, None], (3, *self.centers.shape))
        return jnp.sum(self.precisions[None] * square_derivatives(x[None] - self.centers, repeated), axis=2)

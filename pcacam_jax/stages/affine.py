"""Affine stages: a matrix form for PCA and linear scores, and an element-wise form for scalers."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Rows, Vector
from pcacam_jax.stages.linear import PiecewiseLinear


@pytree
class Affine(PiecewiseLinear):
    """An affine map ``x -> A (x - center) + offset``, ``(d,) -> (out,)``, with the constant Jacobian A.

    A PCA has ``A = P^T``, ``center = mu`` and ``offset = 0`` (Eq. 5, 23); with whitening,
    ``A = diag(lambda)^(-1/2) P^T``.

    Args:
        matrix: A, ``(out, d)``.
        center: ``(d,)``.
        offset: ``(out,)``.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Affine
        >>> pca = Affine(matrix=jnp.array([[0.6, 0.8]]), center=jnp.array([1.0, 2.0]), offset=jnp.zeros(1))
        >>> [round(float(v), 3) for v in pca(jnp.array([2.0, 4.0]))]
        [2.2]
    """

    matrix: Float[Array, "out d"]
    center: Float[Array, " d"]
    offset: Float[Array, " out"]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.matrix.shape[1],)

    def __call__(self, x: Vector) -> Float[Array, " out"]:
        """Return ``A (x - center) + offset``."""
        check_shape("x", x.shape, self.in_shape)
        # Subtract the center first: A x - A center would lose digits to cancellation far from the origin.
        return matmul(self.matrix, x - self.center) + self.offset

    def forward(self, x: Vector) -> tuple[Float[Array, " out"], None]:
        """Return the value; the derivative needs no residuals."""
        return self(x), None

    def pull_back(self, saved: None, rows: Rows) -> Rows:
        """Return ``rows A``."""
        return matmul(rows, self.matrix)

    def jacobian(self, saved: None) -> Float[Array, "out d"]:
        """Return A, Eq. 23."""
        return self.matrix


@pytree
class Scaling(PiecewiseLinear):
    """An element-wise affine map ``x -> scale * (x - center)``, ``(d,) -> (d,)``, with Jacobian ``diag(scale)``.

    Args:
        scale: ``(d,)``.
        center: ``(d,)``.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Scaling
        >>> scaler = Scaling(scale=jnp.array([0.5, 2.0]), center=jnp.array([1.0, 0.0]))
        >>> scaler(jnp.array([3.0, 4.0])).tolist()
        [1.0, 8.0]
    """

    scale: Float[Array, " d"]
    center: Float[Array, " d"]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.scale.shape[0],)

    def __call__(self, x: Vector) -> Vector:
        """Return ``scale * (x - center)``."""
        check_shape("x", x.shape, self.in_shape)
        return self.scale * (x - self.center)

    def forward(self, x: Vector) -> tuple[Vector, None]:
        """Return the value; the derivative needs no residuals."""
        return self(x), None

    def pull_back(self, saved: None, rows: Rows) -> Rows:
        """Return ``rows diag(scale)``."""
        return rows * self.scale[None]

    def jacobian(self, saved: None) -> Float[Array, "d d"]:
        """Return ``diag(scale)``."""
        return jnp.diag(self.scale)

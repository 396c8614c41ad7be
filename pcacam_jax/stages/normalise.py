"""Normalisation of a vector to unit norm, with the norms of scikit-learn's Normalizer."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pcacam_jax.core.checks import InputError, check_choice, check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Scalar, Vector

Series = Float[Array, "3 d"]
"""The first three derivatives of a path x(t)."""


class Norm(NamedTuple):
    """A norm of a vector and its derivatives."""

    value: Callable[[Vector], Scalar]
    gradient: Callable[[Vector], Vector]
    curvature: Callable[[Vector, Vector], Vector] | None = None
    """The second derivative times a direction, ``(x, tangent) -> (d,)``; None if it is not given."""
    taylor: Callable[[Vector, Series], Float[Array, "3"]] | None = None
    """The first three derivatives of ``||x(t)||``, ``(x, series) -> (3,)``; None if they are not given."""


def l2(x: Vector) -> Scalar:
    """Return ``||x|| = sqrt(sum_j x_j^2)``."""
    # The inner where avoids the NaN that autodiff of sqrt gives at x = 0.
    square = jnp.sum(x * x)
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))


def l2_gradient(x: Vector) -> Vector:
    """Return ``d||x||/dx = x / ||x||``, or 0 at ``x = 0``."""
    norm = l2(x)
    return x / jnp.where(norm == 0, 1, norm)


def l2_curvature(x: Vector, tangent: Vector) -> Vector:
    """Return ``(tangent - n n^T tangent) / ||x||`` with the gradient n, or 0 at ``x = 0``."""
    norm, gradient = l2(x), l2_gradient(x)
    return jnp.where(norm == 0, 0, (tangent - gradient * matmul(gradient, tangent)) / jnp.where(norm == 0, 1, norm))


def l2_taylor(x: Vector, series: Series) -> Float[Array, "3"]:
    """Return the derivatives of ``||x(t)||``: those of its square, solved for those of the norm; 0 at ``x = 0``."""
    x1, x2, _ = series
    norm = jnp.where(l2(x) == 0, 1, l2(x))
    along = matmul(series, l2_gradient(x))
    second = matmul(x1, l2_curvature(x, x1)) + along[1]
    third = 3 * (matmul(x1, x2) - along[0] * second) / norm + along[2]
    return jnp.where(l2(x) == 0, 0, jnp.stack([along[0], second, third]))


def flat(x: Vector, tangent: Vector) -> Vector:
    """Return 0, the second derivative of a piecewise linear norm."""
    return jnp.zeros_like(x)


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


def along_gradient(gradient: Callable[[Vector], Vector]) -> Callable[[Vector, Series], Float[Array, "3"]]:
    """Return the derivatives of a piecewise linear norm along a path, from its gradient."""
    return lambda x, series: matmul(series, gradient(x))


NORMS: dict[str, Norm] = {
    "l1": Norm(l1, jnp.sign, flat, along_gradient(jnp.sign)),
    "l2": Norm(l2, l2_gradient, l2_curvature, l2_taylor),
    "max": Norm(largest, largest_gradient, flat, along_gradient(largest_gradient)),
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
        norm, vanishes = self._norm(x)
        divisor = jnp.where(vanishes, 1, norm)
        y = x / divisor
        return y, (divisor, y, jnp.where(vanishes, 0, self._function.gradient(x)))

    def pull_back(self, saved: tuple[Scalar, Vector, Vector], rows: Rows) -> Rows:
        """Return ``(rows - (rows y) n^T) / ||x||``."""
        divisor, y, gradient = saved
        return (rows - matmul(rows, y)[:, None] * gradient[None]) / divisor

    def jacobian(self, saved: tuple[Scalar, Vector, Vector]) -> Float[Array, "d d"]:
        """Return ``(I - y n^T) / ||x||``."""
        return self.pull_back(saved, jnp.eye(self.size, dtype=saved[1].dtype))

    def curvature(self, x: Vector, tangent: Vector, rows: Rows) -> Rows:
        """Return the second derivative along a direction t, from the quotient rule.

        It is ``(2 (rows y)(n^T t) n - rows (n^T t) - (rows t) n - (rows y) dn ||x||) / ||x||^2`` with the change
        ``dn`` of the gradient n along t.
        """
        divisor, y, gradient = self.forward(x)[1]
        second, _ = self._curves()
        change = jnp.where(self._norm(x)[1], 0, second(x, tangent))
        slope, along_y = matmul(gradient, tangent), matmul(rows, y)[:, None]
        on_gradient = 2 * along_y * slope - matmul(rows, tangent)[:, None]
        return (on_gradient * gradient[None] - slope * rows - divisor * along_y * change[None]) / (divisor * divisor)

    def taylor(self, x: Vector, series: Series) -> Series:
        """Return the derivatives of y along a path, from those of ``||x|| y = x`` (Leibniz): ``(3, d) -> (3, d)``."""
        divisor, y, _ = self.forward(x)[1]
        _, taylor = self._curves()
        n1, n2, n3 = jnp.where(self._norm(x)[1], 0, taylor(x, series))
        x1, x2, x3 = series
        y1 = (x1 - y * n1) / divisor
        y2 = (x2 - 2 * y1 * n1 - y * n2) / divisor
        return jnp.stack([y1, y2, (x3 - 3 * y2 * n1 - 3 * y1 * n2 - y * n3) / divisor])

    @property
    def _function(self) -> Norm:
        return NORMS[check_choice("norm", self.norm, NORMS)]

    def _norm(self, x: Vector) -> tuple[Scalar, Bool[Array, ""]]:
        """Return the norm and whether it is so small that the vector is returned unchanged."""
        norm = self._function.value(x)
        return norm, norm < 10 * jnp.finfo(x.dtype).eps

    def _curves(self) -> tuple[Callable[[Vector, Vector], Vector], Callable[[Vector, Series], Float[Array, "3"]]]:
        function = self._function
        if function.curvature is None or function.taylor is None:
            raise InputError(
                f"the norm {self.norm!r} has no second and third derivative; give its entry in NORMS curvature= and "
                "taylor=."
            )
        return function.curvature, function.taylor

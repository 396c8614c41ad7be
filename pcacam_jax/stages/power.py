"""Element-wise power transforms: Yeo-Johnson and Box-Cox.

Both are (exp(p L) - 1) / p for a logarithm L, with the limit L at p = 0. With expm1 this is accurate near p = 0, where
x^p - 1 loses digits to cancellation.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_choice, check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector
from pcacam_jax.stages.taylor import Three, composed


class PowerMethod(NamedTuple):
    """A transform ``f(x; lambda)`` and its derivative in x, both element-wise."""

    function: Callable[[Vector, Vector], Vector]
    derivative: Callable[[Vector, Vector], Vector]
    curves: Callable[[Vector, Vector], tuple[Vector, Vector]] | None = None
    """The second and third derivative; None if they are not given."""


def expm1(z: Vector) -> Vector:
    """Return ``exp(z) - 1``, accurate in the value and under autodiff."""
    # JAX computes the derivative of expm1 as expm1(z) + 1, which loses digits for negative z.
    return jnp.where(z < -1, jnp.exp(jnp.minimum(z, 0)) - 1, jnp.expm1(z))


def power_of_logarithm(logarithm: Vector, power: Vector) -> Vector:
    """Return ``(exp(p L) - 1) / p``, or L at ``p = 0``."""
    # Below eps^2 the limit L differs by less than the rounding error, while p L may underflow.
    vanishes = jnp.abs(power) < jnp.finfo(power.dtype).eps ** 2
    # jnp.where evaluates both branches, and a division by zero in the unused one makes the derivative NaN.
    divisor = jnp.where(vanishes, 1, power)
    return jnp.where(vanishes, logarithm, expm1(divisor * logarithm) / divisor)


def box_cox(x: Vector, exponents: Vector) -> Vector:
    """Return ``(x^lambda - 1) / lambda``, or ``log x`` at ``lambda = 0``; NaN or infinite unless ``x > 0``."""
    return power_of_logarithm(jnp.log(x), exponents)


def box_cox_derivative(x: Vector, exponents: Vector) -> Vector:
    """Return ``f'(x) = x^(lambda - 1)``."""
    return jnp.exp((exponents - 1) * jnp.log(x))


def box_cox_curves(x: Vector, exponents: Vector) -> tuple[Vector, Vector]:
    """Return ``(lambda - 1) x^(lambda - 2)`` and ``(lambda - 1) (lambda - 2) x^(lambda - 3)``."""
    second = (exponents - 1) * jnp.exp((exponents - 2) * jnp.log(x))
    return second, (exponents - 1) * (exponents - 2) * jnp.exp((exponents - 3) * jnp.log(x))


def magnitude(x: Vector) -> Vector:
    """Return ``|x|`` with derivative 1 at ``x = 0``, where both branches of the Yeo-Johnson transform have slope 1."""
    return jnp.where(x >= 0, x, -x)


def branch_powers(x: Vector, exponents: Vector) -> Vector:
    """Return the power p of the Yeo-Johnson transform: ``lambda`` for ``x >= 0``, ``2 - lambda`` for ``x < 0``."""
    return jnp.where(x >= 0, exponents, 2 - exponents)


def yeo_johnson(x: Vector, exponents: Vector) -> Vector:
    """Return ``sign(x) ((1 + |x|)^p - 1) / p``, or ``sign(x) log(1 + |x|)`` at ``p = 0``."""
    value = power_of_logarithm(jnp.log1p(magnitude(x)), branch_powers(x, exponents))
    return jnp.where(x >= 0, value, -value)


def yeo_johnson_derivative(x: Vector, exponents: Vector) -> Vector:
    """Return ``f'(x) = (1 + |x|)^(p - 1)``, for both signs of x."""
    return jnp.exp((branch_powers(x, exponents) - 1) * jnp.log1p(magnitude(x)))


def yeo_johnson_curves(x: Vector, exponents: Vector) -> tuple[Vector, Vector]:
    """Return ``sign(x) (p - 1) (1 + |x|)^(p - 2)`` and ``(p - 1) (p - 2) (1 + |x|)^(p - 3)``; the sign of 0 is 1."""
    p, logarithm = branch_powers(x, exponents), jnp.log1p(magnitude(x))
    second = (p - 1) * jnp.exp((p - 2) * logarithm)
    return jnp.where(x >= 0, second, -second), (p - 1) * (p - 2) * jnp.exp((p - 3) * logarithm)


POWER_METHODS: dict[str, PowerMethod] = {
    "yeo-johnson": PowerMethod(yeo_johnson, yeo_johnson_derivative, yeo_johnson_curves),
    "box-cox": PowerMethod(box_cox, box_cox_derivative, box_cox_curves),
}
"""The supported transforms by their names in scikit-learn."""


@pytree
class Power:
    """An element-wise power transform ``x -> f(x; lambda)``, ``(d,) -> (d,)``, with Jacobian ``diag(f'(x))``.

    It equals scikit-learn's PowerTransformer with ``standardize=False``.

    Args:
        exponents: lambda, ``(d,)``.
        method: ``yeo-johnson`` or ``box-cox``.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Power
        >>> [round(float(y), 3) for y in Power(jnp.array([2.0, 0.5]), "box-cox")(jnp.array([3.0, 4.0]))]
        [4.0, 2.0]
    """

    exponents: Float[Array, " d"]
    method: str = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.exponents.shape[0],)

    def __call__(self, x: Vector) -> Vector:
        """Return ``f(x; lambda)``."""
        check_shape("x", x.shape, self.in_shape)
        return self._method.function(x, self.exponents)

    def forward(self, x: Vector) -> tuple[Vector, Vector]:
        """Return ``f(x)`` and ``f'(x)``."""
        return self(x), self._method.derivative(x, self.exponents)

    def pull_back(self, slope: Vector, rows: Rows) -> Rows:
        """Return ``rows diag(f'(x))``."""
        return rows * slope[None]

    def jacobian(self, slope: Vector) -> Float[Array, "d d"]:
        """Return ``diag(f'(x))``."""
        return jnp.diag(slope)

    def curvature(self, x: Vector, tangent: Vector, rows: Rows) -> Rows:
        """Return ``rows diag(f''(x) tangent)``: ``(T, d) -> (T, d)``."""
        return rows * (self._derivatives(x)[1] * tangent)[None]

    def taylor(self, x: Vector, series: Float[Array, "3 d"]) -> Float[Array, "3 d"]:
        """Return the derivatives of ``f(x(t))``: ``(3, d) -> (3, d)``."""
        return composed(self._derivatives(x), series)

    def _derivatives(self, x: Vector) -> Three:
        check_shape("x", x.shape, self.in_shape)
        if self._method.curves is None:
            raise InputError(
                f"the method {self.method!r} has no second and third derivative; give its entry in POWER_METHODS "
                "curves=."
            )
        return self._method.derivative(x, self.exponents), *self._method.curves(x, self.exponents)

    @property
    def _method(self) -> PowerMethod:
        return POWER_METHODS[check_choice("method", self.method, POWER_METHODS)]

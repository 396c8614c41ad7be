"""Power transforms entry by entry: Yeo and Johnson's, and Box and Cox's.

Both are (exp(p L) - 1) / p of a logarithm L, which is L at p = 0. Written with expm1 it loses no digits near p = 0,
where the difference of two powers keeps few of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_choice, check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector


class PowerMethod(NamedTuple):
    """A transform f(x; lambda) and its derivative in x, both applied entry by entry."""

    function: Callable[[Vector, Vector], Vector]
    derivative: Callable[[Vector, Vector], Vector]


def expm1(z: Vector) -> Vector:
    """Return exp z - 1, with all digits in its derivative by autodiff, for which JAX takes the value plus 1."""
    return jnp.where(z < -1, jnp.exp(jnp.minimum(z, 0)) - 1, jnp.expm1(z))


def power_of_logarithm(logarithm: Vector, power: Vector) -> Vector:
    """Return (exp(p L) - 1) / p, L at p = 0."""
    # Below eps^2 the limit differs by less than rounding, and p L may underflow.
    vanishes = jnp.abs(power) < jnp.finfo(power.dtype).eps ** 2
    # The branch that is not taken must not divide by zero either, or its derivative is NaN.
    divisor = jnp.where(vanishes, 1, power)
    return jnp.where(vanishes, logarithm, expm1(divisor * logarithm) / divisor)


def box_cox(x: Vector, exponents: Vector) -> Vector:
    """f(x) = (x^lambda - 1) / lambda, log x at lambda = 0; for x > 0, NaN or infinite elsewhere."""
    return power_of_logarithm(jnp.log(x), exponents)


def box_cox_derivative(x: Vector, exponents: Vector) -> Vector:
    """f'(x) = x^(lambda - 1)."""
    return jnp.exp((exponents - 1) * jnp.log(x))


def magnitude(x: Vector) -> Vector:
    """Return |x| with derivative 1 at x = 0, where the transform's two branches join with slope 1."""
    return jnp.where(x >= 0, x, -x)


def branch_powers(x: Vector, exponents: Vector) -> Vector:
    """Return p: lambda for x >= 0, 2 - lambda for x < 0."""
    return jnp.where(x >= 0, exponents, 2 - exponents)


def yeo_johnson(x: Vector, exponents: Vector) -> Vector:
    """f(x) = +-((1 + |x|)^p - 1) / p with the sign of x; +-log(1 + |x|) at p = 0."""
    value = power_of_logarithm(jnp.log1p(magnitude(x)), branch_powers(x, exponents))
    return jnp.where(x >= 0, value, -value)


def yeo_johnson_derivative(x: Vector, exponents: Vector) -> Vector:
    """f'(x) = (1 + |x|)^(p - 1) on both sides."""
    return jnp.exp((branch_powers(x, exponents) - 1) * jnp.log1p(magnitude(x)))


POWER_METHODS: dict[str, PowerMethod] = {
    "yeo-johnson": PowerMethod(yeo_johnson, yeo_johnson_derivative),
    "box-cox": PowerMethod(box_cox, box_cox_derivative),
}
"""Every transform by scikit-learn's name."""


@pytree
class Power:
    """x -> f(x; lambda) entry by entry: (d,) -> (d,), scikit-learn's PowerTransformer before it standardises.

    The Jacobian is diag(f'(x)).
    """

    exponents: Float[Array, " d"]
    """lambda."""
    method: str = static()
    """A name in :data:`POWER_METHODS`."""

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.exponents.shape[0],)

    def __call__(self, x: Vector) -> Vector:
        """Return f(x; lambda)."""
        check_shape("x", x.shape, self.in_shape)
        return self._method.function(x, self.exponents)

    def forward(self, x: Vector) -> tuple[Vector, Vector]:
        """Return f(x) and f'(x)."""
        return self(x), self._method.derivative(x, self.exponents)

    def pull_back(self, slope: Vector, rows: Rows) -> Rows:
        """Return rows diag(f'(x))."""
        return rows * slope[None]

    def jacobian(self, slope: Vector) -> Float[Array, "d d"]:
        """Return diag(f'(x))."""
        return jnp.diag(slope)

    @property
    def _method(self) -> PowerMethod:
        return POWER_METHODS[check_choice("method", self.method, POWER_METHODS)]

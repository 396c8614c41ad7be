"""Kernels k(s, v) of a support vector s and a point v with derivatives in v (Eq. 7, 25, 26), and the influence."""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from pcacam_jax.core.arrays import real_array
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.text import shown
from pcacam_jax.core.types import Scalar, Vector
from pcacam_jax.stages.activation import tanh_derivative
from pcacam_jax.stages.activation_curves import tanh_derivatives
from pcacam_jax.stages.taylor import Three, composed

Series = Float[Array, "3 D"]
"""The first three derivatives of a path v(t)."""


class Exponent(NamedTuple):
    """The exponent e of a kernel ``k = exp(e)`` and its gradient in v, for one pair (s, v)."""

    value: Callable[..., Scalar]
    gradient: Callable[..., Vector]


class Kernel(NamedTuple):
    """A kernel and its gradient in v, for one pair (s, v); the parameters are keyword arguments."""

    value: Callable[..., Scalar]
    gradient: Callable[..., Vector]
    parameters: tuple[str, ...]
    exponent: Exponent | None = None
    """The exponent of an exponential kernel, None for other kernels."""
    curvature: Callable[..., Vector] | None = None
    """The second derivative in v times a direction, ``(s, v, tangent) -> (D,)``; None if it is not given."""
    taylor: Callable[..., Float[Array, "3"]] | None = None
    """The first three derivatives of ``k(s, v(t))``, ``(s, v, series) -> (3,)``; None if they are not given."""


def linear(s: Vector, v: Vector) -> Scalar:
    """Return ``k(s, v) = s^T v``, Eq. 7."""
    return matmul(s, v)


def linear_gradient(s: Vector, v: Vector) -> Vector:
    """Return ``dk/dv = s^T``, which is constant in v, Eq. 25."""
    return s


def linear_curvature(s: Vector, v: Vector, tangent: Vector) -> Vector:
    """Return 0."""
    return jnp.zeros_like(v)


def linear_taylor(s: Vector, v: Vector, series: Series) -> Float[Array, "3"]:
    """Return ``s^T`` times the derivatives of the path."""
    return matmul(series, s)


def rbf_exponent(s: Vector, v: Vector, gamma: Scalar) -> Scalar:
    """Return ``e = -gamma ||s - v||^2``."""
    difference = s - v
    # Autodiff of a squared norm gives NaN at s = v; autodiff of a sum of squares does not.
    return -gamma * jnp.sum(difference * difference)


def rbf_exponent_gradient(s: Vector, v: Vector, gamma: Scalar) -> Vector:
    """Return ``de/dv = 2 gamma (s - v)^T``."""
    return 2 * gamma * (s - v)


def rbf(s: Vector, v: Vector, gamma: Scalar) -> Scalar:
    """Return ``k(s, v) = exp(-gamma ||s - v||^2)``, Eq. 7."""
    return jnp.exp(rbf_exponent(s, v, gamma))


def rbf_gradient(s: Vector, v: Vector, gamma: Scalar) -> Vector:
    """Return ``dk/dv = 2 gamma k(s, v) (s - v)^T``, Eq. 26."""
    return rbf(s, v, gamma) * rbf_exponent_gradient(s, v, gamma)


def rbf_curvature(s: Vector, v: Vector, tangent: Vector, gamma: Scalar) -> Vector:
    """Return ``k (g (g^T tangent) - 2 gamma tangent)`` with the gradient ``g = 2 gamma (s - v)`` of the exponent."""
    slope = rbf_exponent_gradient(s, v, gamma)
    return rbf(s, v, gamma) * (slope * matmul(slope, tangent) - 2 * gamma * tangent)


def rbf_taylor(s: Vector, v: Vector, series: Series, gamma: Scalar) -> Float[Array, "3"]:
    """Return the derivatives of ``exp(e(t))``, where the exponent is quadratic in v."""
    x1, x2, _ = series
    bends = jnp.stack([jnp.zeros((), v.dtype), matmul(x1, x1), 3 * matmul(x1, x2)])
    exponent = matmul(series, rbf_exponent_gradient(s, v, gamma)) - 2 * gamma * bends
    k = rbf(s, v, gamma)
    return composed((k, k, k), exponent)


def poly_base(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar, degree: Scalar) -> Scalar:
    """Return ``gamma s^T v + coef0``, or 1 if the degree is 0."""
    # The power 0 is constant, but autodiff of base^0 gives NaN at base 0.
    return jnp.where(degree == 0, 1, gamma * matmul(s, v) + coef0)


def poly(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar, degree: Scalar) -> Scalar:
    """Return ``k(s, v) = (gamma s^T v + coef0)^degree``; NaN for a negative base and a non-integer degree."""
    return jnp.power(poly_base(s, v, gamma, coef0, degree), degree)


def poly_gradient(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar, degree: Scalar) -> Vector:
    """Return ``dk/dv = degree gamma (gamma s^T v + coef0)^(degree - 1) s^T``."""
    return degree * gamma * jnp.power(poly_base(s, v, gamma, coef0, degree), degree - 1) * s


def power_derivatives(base: Scalar, degree: Scalar) -> Three:
    """Return the first three derivatives of ``base^degree``; 0 where the product of the degrees is 0."""

    def derivative(order: int) -> Scalar:
        factor = functools.reduce(operator.mul, [degree - i for i in range(order)])
        # A negative power of base 0 is infinite, and its product with 0 NaN.
        return jnp.where(factor == 0, 0, factor * jnp.power(jnp.where(factor == 0, 1, base), degree - order))

    return derivative(1), derivative(2), derivative(3)


def poly_curvature(s: Vector, v: Vector, tangent: Vector, gamma: Scalar, coef0: Scalar, degree: Scalar) -> Vector:
    """Return ``degree (degree - 1) gamma^2 (gamma s^T v + coef0)^(degree - 2) (s^T tangent) s^T``."""
    second = power_derivatives(poly_base(s, v, gamma, coef0, degree), degree)[1]
    return gamma * gamma * second * matmul(s, tangent) * s


def poly_taylor(
    s: Vector, v: Vector, series: Series, gamma: Scalar, coef0: Scalar, degree: Scalar
) -> Float[Array, "3"]:
    """Return the derivatives of ``b(t)^degree`` with ``b = gamma s^T v + coef0``."""
    base = poly_base(s, v, gamma, coef0, degree)
    return composed(power_derivatives(base, degree), gamma * matmul(series, s))


def sigmoid(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar) -> Scalar:
    """Return ``k(s, v) = tanh(gamma s^T v + coef0)``."""
    return jnp.tanh(gamma * matmul(s, v) + coef0)


def sigmoid_gradient(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar) -> Vector:
    """Return ``dk/dv = gamma (1 - k(s, v)^2) s^T``."""
    return gamma * tanh_derivative(gamma * matmul(s, v) + coef0) * s


def sigmoid_curvature(s: Vector, v: Vector, tangent: Vector, gamma: Scalar, coef0: Scalar) -> Vector:
    """Return ``-2 gamma^2 k (1 - k^2) (s^T tangent) s^T``."""
    second = tanh_derivatives(gamma * matmul(s, v) + coef0)[1]
    return gamma * gamma * second * matmul(s, tangent) * s


def sigmoid_taylor(s: Vector, v: Vector, series: Series, gamma: Scalar, coef0: Scalar) -> Float[Array, "3"]:
    """Return the derivatives of ``tanh(b(t))`` with ``b = gamma s^T v + coef0``."""
    return composed(tanh_derivatives(gamma * matmul(s, v) + coef0), gamma * matmul(series, s))


KERNELS: dict[str, Kernel] = {
    "linear": Kernel(linear, linear_gradient, (), None, linear_curvature, linear_taylor),
    "rbf": Kernel(
        rbf, rbf_gradient, ("gamma",), Exponent(rbf_exponent, rbf_exponent_gradient), rbf_curvature, rbf_taylor
    ),
    "poly": Kernel(poly, poly_gradient, ("gamma", "coef0", "degree"), None, poly_curvature, poly_taylor),
    "sigmoid": Kernel(sigmoid, sigmoid_gradient, ("gamma", "coef0"), None, sigmoid_curvature, sigmoid_taylor),
}
"""The supported kernels by their names in scikit-learn."""


def kernel_named(name: str) -> Kernel:
    """Return the kernel of this name.

    Raises:
        InputError: the name is unknown; the message lists the known ones.
    """
    return KERNELS[check_choice("kernel", name, KERNELS)]


def curved_kernel_named(name: str) -> tuple[Callable[..., Vector], Callable[..., Float[Array, "3"]]]:
    """Return the functions ``curvature`` and ``taylor`` of the kernel of this name.

    Raises:
        InputError: the name is unknown, or its entry in the table lacks them.
    """
    kernel = kernel_named(name)
    if kernel.curvature is None or kernel.taylor is None:
        raise InputError(
            f"the kernel {name!r} has no second and third derivative; give its entry in KERNELS curvature= and taylor=."
        )
    return kernel.curvature, kernel.taylor


def exponent_named(name: str) -> Exponent:
    """Return the exponent of the exponential kernel of this name.

    Raises:
        InputError: the name is unknown, or the kernel is not exponential.
    """
    exponent = kernel_named(name).exponent
    if exponent is None:
        raise InputError(f"a relative derivative needs an exponential kernel, such as rbf; got {name!r}.")
    return exponent


def influence(distance: Float[Array, "..."], gamma: float) -> Float[Array, "..."]:
    """Return the influence of a support vector of an RBF kernel, ``||dk/dv|| = 2 gamma d exp(-gamma d^2)`` (Eq. 27-28).

    The influence tends to 0 for ``d -> 0`` and for ``d -> infinity`` (Theorem 1).

    Args:
        distance: the distances ``d = ||s - v||`` between the support vector and the point, of any shape.
        gamma: the parameter of the RBF kernel.

    Returns:
        The influences, of the shape of ``distance``.

    Example:
        >>> from pcacam_jax import critical_distance, influence
        >>> [round(float(influence(d, gamma=0.5)), 3) for d in (0.0, critical_distance(0.5), 10.0)]
        [0.0, 0.607, 0.0]
    """
    gamma = _checked_gamma(gamma)
    with np.errstate(over="ignore"):
        distance = jnp.asarray(real_array("distance", distance))
    return 2 * gamma * distance * jnp.exp(-gamma * distance * distance)


def critical_distance(gamma: float) -> float:
    """Return ``d* = 1 / sqrt(2 gamma)``, the distance of largest influence of an RBF kernel (Theorem 2, Eq. 31).

    Args:
        gamma: the parameter of the RBF kernel.

    Returns:
        The distance d*.

    Example:
        >>> from pcacam_jax import critical_distance
        >>> critical_distance(gamma=0.5)
        1.0
    """
    return (2 * _checked_gamma(gamma)) ** -0.5


def _checked_gamma(gamma: Any) -> Any:
    """Return gamma, which may be a Python number, an array or a traced value, if it is positive."""
    array = real_array("gamma", gamma)
    if not isinstance(array, Tracer) and not np.all(np.asarray(array) > 0):
        raise InputError(f"gamma must be positive; got {shown(gamma)}.")
    if isinstance(gamma, int | float):
        return gamma
    with np.errstate(over="ignore"):
        return jnp.asarray(array)

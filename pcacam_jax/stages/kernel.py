"""Kernels k(s, v) of one support vector and one point, each with its gradient in v (Eq. 7, 25, 26), and influence."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Scalar, Vector
from pcacam_jax.stages.activation import tanh_derivative


class Exponent(NamedTuple):
    """The exponent e of a kernel k = exp(e) and its gradient in v, for one pair (s, v)."""

    value: Callable[..., Scalar]
    gradient: Callable[..., Vector]


class Kernel(NamedTuple):
    """A kernel and its gradient in v, for one pair (s, v); parameters come by keyword."""

    value: Callable[..., Scalar]
    gradient: Callable[..., Vector]
    parameters: tuple[str, ...]
    exponent: Exponent | None = None
    """For an exponential kernel, its exponent."""


def linear(s: Vector, v: Vector) -> Scalar:
    """k(s, v) = s^T v, Eq. 7."""
    return matmul(s, v)


def linear_gradient(s: Vector, v: Vector) -> Vector:
    """dk/dv = s^T, constant in v, Eq. 25."""
    return s


def rbf_exponent(s: Vector, v: Vector, gamma: Scalar) -> Scalar:
    """Return e = -gamma ||s - v||^2."""
    difference = s - v
    # A sum of squares, not a squared norm: the norm has no derivative at s = v.
    return -gamma * jnp.sum(difference * difference)


def rbf_exponent_gradient(s: Vector, v: Vector, gamma: Scalar) -> Vector:
    """Return de/dv = 2 gamma (s - v)^T."""
    return 2 * gamma * (s - v)


def rbf(s: Vector, v: Vector, gamma: Scalar) -> Scalar:
    """k(s, v) = exp(-gamma ||s - v||^2), Eq. 7."""
    return jnp.exp(rbf_exponent(s, v, gamma))


def rbf_gradient(s: Vector, v: Vector, gamma: Scalar) -> Vector:
    """dk/dv = 2 gamma k(s, v) (s - v)^T, Eq. 26."""
    return rbf(s, v, gamma) * rbf_exponent_gradient(s, v, gamma)


def poly_base(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar, degree: Scalar) -> Scalar:
    """Return gamma s^T v + coef0; 1 for degree 0, whose power is constant and whose derivative at base 0 is NaN."""
    return jnp.where(degree == 0, 1, gamma * matmul(s, v) + coef0)


def poly(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar, degree: Scalar) -> Scalar:
    """k(s, v) = (gamma s^T v + coef0)^degree; NaN for a negative base and a degree that is not whole."""
    return jnp.power(poly_base(s, v, gamma, coef0, degree), degree)


def poly_gradient(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar, degree: Scalar) -> Vector:
    """dk/dv = degree gamma (gamma s^T v + coef0)^(degree - 1) s^T."""
    return degree * gamma * jnp.power(poly_base(s, v, gamma, coef0, degree), degree - 1) * s


def sigmoid(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar) -> Scalar:
    """k(s, v) = tanh(gamma s^T v + coef0)."""
    return jnp.tanh(gamma * matmul(s, v) + coef0)


def sigmoid_gradient(s: Vector, v: Vector, gamma: Scalar, coef0: Scalar) -> Vector:
    """dk/dv = gamma (1 - k(s, v)^2) s^T."""
    return gamma * tanh_derivative(gamma * matmul(s, v) + coef0) * s


KERNELS: dict[str, Kernel] = {
    "linear": Kernel(linear, linear_gradient, ()),
    "rbf": Kernel(rbf, rbf_gradient, ("gamma",), Exponent(rbf_exponent, rbf_exponent_gradient)),
    "poly": Kernel(poly, poly_gradient, ("gamma", "coef0", "degree")),
    "sigmoid": Kernel(sigmoid, sigmoid_gradient, ("gamma", "coef0")),
}
"""Every kernel by scikit-learn's name."""


def kernel_named(name: str) -> Kernel:
    """Return the kernel; an unknown name is refused with the list of those there are."""
    return KERNELS[check_choice("kernel", name, KERNELS)]


def exponent_named(name: str) -> Exponent:
    """Return the exponent of an exponential kernel; any other kernel is refused."""
    exponent = kernel_named(name).exponent
    if exponent is None:
        raise InputError(f"a relative derivative needs an exponential kernel, such as rbf; got {name!r}.")
    return exponent


def influence(distance: Float[Array, "..."], gamma: float) -> Float[Array, "..."]:
    """Return ||dk/dv|| of the RBF kernel at ``distance`` = ||s - v||: 2 gamma d exp(-gamma d^2), Eq. 27-28.

    It tends to 0 for d -> 0 and d -> infinity (Theorem 1).
    """
    distance = jnp.asarray(distance)
    return 2 * gamma * distance * jnp.exp(-gamma * distance * distance)


def critical_distance(gamma: float) -> float:
    """Return d* = 1 / sqrt(2 gamma), the distance of greatest influence (Theorem 2, Eq. 31)."""
    return (2 * gamma) ** -0.5

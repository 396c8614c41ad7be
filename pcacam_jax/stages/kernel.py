"""Kernels k(s, v) of one support vector and one point, each with its gradient in v (Eq. 7, 25, 26), and influence."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.checks import check_choice
from pcacam_jax.numerics import matmul
from pcacam_jax.types import Scalar, Vector


class Kernel(NamedTuple):
    """A kernel and its gradient in v, for one pair (s, v); parameters come by keyword."""

    value: Callable[..., Scalar]
    gradient: Callable[..., Vector]
    parameters: tuple[str, ...]


def linear(s: Vector, v: Vector) -> Scalar:
    """k(s, v) = s^T v, Eq. 7."""
    return matmul(s, v)


def linear_gradient(s: Vector, v: Vector) -> Vector:
    """dk/dv = s^T, constant in v, Eq. 25."""
    return s


def rbf(s: Vector, v: Vector, gamma: Scalar) -> Scalar:
    """k(s, v) = exp(-gamma ||s - v||^2), Eq. 7."""
    difference = s - v
    # A sum of squares, not a squared norm: the norm has no derivative at s = v.
    return jnp.exp(-gamma * jnp.sum(difference * difference))


def rbf_gradient(s: Vector, v: Vector, gamma: Scalar) -> Vector:
    """dk/dv = 2 gamma k(s, v) (s - v)^T, Eq. 26."""
    return 2 * gamma * rbf(s, v, gamma) * (s - v)


KERNELS: dict[str, Kernel] = {
    "linear": Kernel(linear, linear_gradient, ()),
    "rbf": Kernel(rbf, rbf_gradient, ("gamma",)),
}
"""Every kernel by scikit-learn's name."""


def kernel_named(name: str) -> Kernel:
    """Return the kernel; an unknown name is refused with the list of those there are."""
    return KERNELS[check_choice("kernel", name, KERNELS)]


def influence(distance: Float[Array, "..."], gamma: float) -> Float[Array, "..."]:
    """Return ||dk/dv|| of the RBF kernel at ``distance`` = ||s - v||: 2 gamma d exp(-gamma d^2), Eq. 27-28.

    It tends to 0 for d -> 0 and d -> infinity (Theorem 1).
    """
    distance = jnp.asarray(distance)
    return 2 * gamma * distance * jnp.exp(-gamma * distance * distance)


def critical_distance(gamma: float) -> float:
    """Return d* = 1 / sqrt(2 gamma), the distance of greatest influence (Theorem 2, Eq. 31)."""
    return (2 * gamma) ** -0.5

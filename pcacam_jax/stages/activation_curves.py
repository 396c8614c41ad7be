"""The second and third derivatives of the activations, element-wise.

Each function takes u and returns f''(u) and f'''(u). They are written with factors that underflow to zero where the
activation saturates, so that nothing cancels there.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.stages.taylor import Three, composed

Values = Float[Array, "..."]
Two = tuple[Values, Values]


def zeros(u: Values) -> Two:
    """Return 0 and 0, for the identity and the piecewise linear activations."""
    return jnp.zeros_like(u), jnp.zeros_like(u)


def sigmoid_derivatives(u: Values) -> Three:
    """Return ``s' = s(u) s(-u)``, ``s'' = -s' tanh(u / 2)`` and ``s''' = s' (1 - 6 s')`` of the sigmoid."""
    slope = jax.nn.sigmoid(u) * jax.nn.sigmoid(-u)
    return slope, -slope * jnp.tanh(u / 2), slope * (1 - 6 * slope)


def tanh_derivatives(u: Values) -> Three:
    """Return ``f' = 1 - f^2``, ``f'' = -2 f f'`` and ``f''' = f' (4 - 6 f')`` of the hyperbolic tangent."""
    slope = 4 * sigmoid_derivatives(2 * u)[0]
    return slope, -2 * jnp.tanh(u) * slope, slope * (4 - 6 * slope)


def sigmoid_curves(u: Values) -> Two:
    """Return the derivatives of :func:`sigmoid_derivatives` without the first."""
    return sigmoid_derivatives(u)[1:]


def tanh_curves(u: Values) -> Two:
    """Return the derivatives of :func:`tanh_derivatives` without the first."""
    return tanh_derivatives(u)[1:]


def softplus_curves(u: Values) -> Two:
    """Return ``s'`` and ``s''``, where s is the sigmoid."""
    return sigmoid_derivatives(u)[:2]


def log_sigmoid_curves(u: Values) -> Two:
    """Return ``-s'`` and ``-s''``, where s is the sigmoid."""
    first, second, _ = sigmoid_derivatives(u)
    return -first, -second


def gelu_curves(u: Values) -> Two:
    """Return ``phi(u) (2 - u^2)`` and ``phi(u) u (u^2 - 4)``, where phi is the standard normal density."""
    u = jnp.clip(u, -40, 40)  # beyond 40 the density is zero, while the powers of u overflow
    density = jnp.exp(-u * u / 2) / jnp.sqrt(2 * jnp.pi).astype(u.dtype)
    return density * (2 - u * u), density * u * (u * u - 4)


def times_argument(u: Values, derivatives: Three) -> Two:
    """Return ``2 g' + u g''`` and ``3 g'' + u g'''``, the derivatives of ``f(u) = u g(u)``."""
    first, second, third = derivatives
    return 2 * first + u * second, 3 * second + u * third


def gelu_tanh_argument(u: Values) -> Three:
    """Return ``z = sqrt(2 / pi) (u + 0.044715 u^3)``, ``z'`` and ``z''``; beyond 30, tanh(z) is 1 in floating point."""
    u, scale = jnp.clip(u, -30, 30), math.sqrt(2 / math.pi)
    return scale * (u + 0.044715 * u * u * u), scale * (1 + 3 * 0.044715 * u * u), scale * 6 * 0.044715 * u


def gelu_tanh_curves(u: Values) -> Two:
    """Return the derivatives of ``u s(2z)``, where s is the sigmoid and z the value of :func:`gelu_tanh_argument`."""
    z, first, second = gelu_tanh_argument(u)
    third = jnp.full_like(u, 6 * 0.044715 * math.sqrt(2 / math.pi))
    inner = composed(sigmoid_derivatives(2 * z), 2 * jnp.stack([first, second, third]))
    return times_argument(u, (inner[0], inner[1], inner[2]))


def silu_curves(u: Values) -> Two:
    """Return the derivatives of ``u s(u)``, where s is the sigmoid."""
    return times_argument(u, sigmoid_derivatives(u))


def mish_curves(u: Values) -> Two:
    """Return the derivatives of ``u tanh(p)`` with ``p = log(1 + e^u)``."""
    path = jnp.stack([jax.nn.sigmoid(u), *softplus_curves(u)])
    inner = composed(tanh_derivatives(jax.nn.softplus(u)), path)
    return times_argument(u, (inner[0], inner[1], inner[2]))


def hard_swish_curves(u: Values) -> Two:
    """Return ``1/3 if -3 < u < 3 else 0``, and 0."""
    return ((u > -3) & (u < 3)).astype(u.dtype) / 3, jnp.zeros_like(u)


def softsign_curves(u: Values) -> Two:
    """Return ``-2 sign(u) / (1 + |u|)^3`` and ``6 / (1 + |u|)^4``."""
    root = 1 / (1 + jnp.abs(u))
    return -2 * jnp.sign(u) * root * root * root, 6 * (root * root) * (root * root)


def cosine_curves(u: Values) -> Two:
    """Return ``-cos(u)`` and ``sin(u)``."""
    return -jnp.cos(u), jnp.sin(u)


def exp_curves(u: Values) -> Two:
    """Return ``e^u`` and ``e^u``."""
    return jnp.exp(u), jnp.exp(u)


def log_curves(u: Values) -> Two:
    """Return ``-1 / u^2`` and ``2 / u^3``."""
    root = 1 / u
    return -root * root, 2 * root * root * root


def elu_curves(alpha: float, scale: float) -> Callable[[Values], Two]:
    """Return the function of u that gives ``scale (0 if u > 0 else alpha e^u)`` twice."""

    def curves(u: Values) -> Two:
        value = scale * jnp.where(u > 0, jnp.zeros_like(u), alpha * jnp.exp(jnp.minimum(u, 0)))
        return value, value

    return curves

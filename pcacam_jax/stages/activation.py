"""Element-wise activations f(u) and their derivatives f'(u) (Eq. 18-19).

At a kink the derivative is PyTorch's, which is one of the two one-sided slopes. The functions are written so that
autodiff gives the same one. The second and third derivatives are in :mod:`pcacam_jax.stages.activation_curves`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.text import shown
from pcacam_jax.core.types import Rows, Vector
from pcacam_jax.stages import activation_curves as curves
from pcacam_jax.stages.activation_curves import gelu_tanh_argument
from pcacam_jax.stages.taylor import Three, composed

Values = Float[Array, "..."]


class Activation(NamedTuple):
    """A function and its derivative, both element-wise."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    saturates: bool = False
    """Whether the exact slope has no interval of zeros, but underflows to zero in floating point."""
    curves: Callable[[Array], tuple[Array, Array]] | None = None
    """The second and third derivative, element-wise; None if they are not given."""


def sigmoid_derivative(u: Values) -> Values:
    """Return ``f'(u) = f(u) (1 - f(u))``, Eq. 18."""
    # f(-u) is equal to 1 - f(u), but stays accurate where f(u) rounds to 1.
    return jax.nn.sigmoid(u) * jax.nn.sigmoid(-u)


def relu_derivative(u: Values) -> Values:
    """Return ``f'(u) = 1 if u > 0 else 0``, Eq. 19; the slope at ``u = 0`` is 0, as in :func:`jax.nn.relu`."""
    return (u > 0).astype(u.dtype)


def tanh_derivative(u: Values) -> Values:
    """Return ``f'(u) = 1 - tanh(u)^2 = 4 sigmoid(2u) sigmoid(-2u)``."""
    return 4 * sigmoid_derivative(2 * u)


def gelu(u: Values) -> Values:
    """Return ``f(u) = u Phi(u)``, where Phi is the standard normal CDF (the exact GELU, not its tanh approximation)."""
    return jax.nn.gelu(u, approximate=False)


def gelu_derivative(u: Values) -> Values:
    """Return ``f'(u) = Phi(u) + u phi(u)``, where phi is the standard normal density."""
    density = jnp.exp(-u * u / 2) / jnp.sqrt(2 * jnp.pi).astype(u.dtype)
    return jax.scipy.special.ndtr(u) + u * density


def gelu_tanh(u: Values) -> Values:
    """Return ``f(u) = u (1 + tanh(z)) / 2`` with ``z = sqrt(2 / pi) (u + 0.044715 u^3)``, an approximation of GELU."""
    # (1 + tanh(z)) / 2 is equal to sigmoid(2z), which stays accurate where tanh(z) rounds to -1.
    return u * jax.nn.sigmoid(2 * gelu_tanh_argument(u)[0])


def gelu_tanh_derivative(u: Values) -> Values:
    """Return ``f'(u) = s(2z) + 2 u s'(2z) dz/du``, where s is the sigmoid."""
    z, slope, _ = gelu_tanh_argument(u)
    return jax.nn.sigmoid(2 * z) + 2 * u * sigmoid_derivative(2 * z) * slope


def silu_derivative(u: Values) -> Values:
    """Return ``f'(u) = s(u) (1 + u s(-u))`` of ``f(u) = u s(u)``, where s is the sigmoid."""
    return jax.nn.sigmoid(u) * (1 + u * jax.nn.sigmoid(-u))


def mish(u: Values) -> Values:
    """Return ``f(u) = u tanh(log(1 + e^u))``."""
    return u * jnp.tanh(jax.nn.softplus(u))


def mish_derivative(u: Values) -> Values:
    """Return ``f'(u) = tanh(p) + u tanh'(p) s(u)`` with ``p = log(1 + e^u)``, where s is the sigmoid."""
    p = jax.nn.softplus(u)
    return jnp.tanh(p) + u * tanh_derivative(p) * jax.nn.sigmoid(u)


def relu6(u: Values) -> Values:
    """Return ``f(u) = min(max(u, 0), 6)``."""
    return jnp.where(u > 0, jnp.where(u < 6, u, 6), 0)


def relu6_derivative(u: Values) -> Values:
    """Return ``f'(u) = 1 if 0 < u < 6 else 0``."""
    return ((u > 0) & (u < 6)).astype(u.dtype)


def hard_sigmoid(u: Values) -> Values:
    """Return ``f(u) = min(max(u + 3, 0), 6) / 6``, as in PyTorch, JAX and Keras 3."""
    return relu6(u + 3) / 6


def hard_sigmoid_derivative(u: Values) -> Values:
    """Return ``f'(u) = 1/6 if -3 < u < 3 else 0``."""
    return relu6_derivative(u + 3) / 6


def hard_swish(u: Values) -> Values:
    """Return ``f(u) = u min(max(u + 3, 0), 6) / 6``."""
    return u * hard_sigmoid(u)


def hard_swish_derivative(u: Values) -> Values:
    """Return ``f'(u) = 0 if u <= -3``, ``1 if u >= 3`` and ``(2u + 3) / 6`` between."""
    return hard_sigmoid(u) + u * hard_sigmoid_derivative(u)


def softsign(u: Values) -> Values:
    """Return ``f(u) = u / (1 + |u|)``."""
    return u / (1 + jnp.abs(u))


def softsign_derivative(u: Values) -> Values:
    """Return ``f'(u) = 1 / (1 + |u|)^2``."""
    root = 1 / (1 + jnp.abs(u))
    return root * root


def leaky_relu(slope: float) -> Activation:
    """Return ``f(u) = u if u > 0 else slope u``; the derivative at 0 is ``slope``."""
    return Activation(
        lambda u: jnp.where(u > 0, u, slope * u),
        lambda u: jnp.where(u > 0, jnp.ones_like(u), slope),
        curves=curves.zeros,
    )


def elu(alpha: float, scale: float = 1.0) -> Activation:
    """Return ``f(u) = scale (u if u > 0 else alpha (e^u - 1))``; the derivative at 0 is ``scale alpha``."""
    return Activation(
        lambda u: scale * jax.nn.elu(u, alpha),
        lambda u: scale * jnp.where(u > 0, jnp.ones_like(u), alpha * jnp.exp(jnp.minimum(u, 0))),
        saturates=alpha != 0,
        curves=curves.elu_curves(alpha, scale),
    )


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805

ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(lambda u: u, jnp.ones_like, curves=curves.zeros),
    "sigmoid": Activation(jax.nn.sigmoid, sigmoid_derivative, saturates=True, curves=curves.sigmoid_curves),
    "relu": Activation(jax.nn.relu, relu_derivative, curves=curves.zeros),
    "tanh": Activation(jnp.tanh, tanh_derivative, saturates=True, curves=curves.tanh_curves),
    "softplus": Activation(jax.nn.softplus, jax.nn.sigmoid, saturates=True, curves=curves.softplus_curves),
    "gelu": Activation(gelu, gelu_derivative, saturates=True, curves=curves.gelu_curves),
    "gelu_tanh": Activation(gelu_tanh, gelu_tanh_derivative, saturates=True, curves=curves.gelu_tanh_curves),
    "leaky_relu": leaky_relu(0.01),
    "elu": elu(1.0),
    "selu": elu(SELU_ALPHA, SELU_SCALE),
    "silu": Activation(jax.nn.silu, silu_derivative, saturates=True, curves=curves.silu_curves),
    "mish": Activation(mish, mish_derivative, saturates=True, curves=curves.mish_curves),
    "relu6": Activation(relu6, relu6_derivative, curves=curves.zeros),
    "hard_sigmoid": Activation(hard_sigmoid, hard_sigmoid_derivative, curves=curves.zeros),
    "hard_swish": Activation(hard_swish, hard_swish_derivative, curves=curves.hard_swish_curves),
    "softsign": Activation(softsign, softsign_derivative, saturates=True, curves=curves.softsign_curves),
    "cosine": Activation(jnp.cos, lambda u: -jnp.sin(u), curves=curves.cosine_curves),
    "exp": Activation(jnp.exp, jnp.exp, saturates=True, curves=curves.exp_curves),
    "log": Activation(jnp.log, lambda u: 1 / u, curves=curves.log_curves),
    "log_sigmoid": Activation(
        jax.nn.log_sigmoid, lambda u: jax.nn.sigmoid(-u), saturates=True, curves=curves.log_sigmoid_curves
    ),
}
"""The supported activations by name, with the defaults of PyTorch for those that have a parameter."""

PARAMETRISED: dict[str, Callable[[float], Activation]] = {"leaky_relu": leaky_relu, "elu": elu}
"""The activations whose name may be followed by a number, such as ``"leaky_relu:0.2"`` and ``"elu:0.5"``."""

ALIASES = {"swish": "silu", "hardswish": "hard_swish", "hardsigmoid": "hard_sigmoid", "linear": "identity"}
"""Other frameworks' names for activations of the table."""


def activation_named(name: str) -> Activation:
    """Return the activation of this name: one of the table, an alias, or a name and its number.

    Raises:
        InputError: the name is unknown; the message lists the known ones.
    """
    kind, _, number = check_activation(name).partition(":")
    return PARAMETRISED[kind](float(number)) if number else ACTIVATIONS[ALIASES.get(name, name)]


def is_identity(name: str) -> bool:
    """Return whether an activation is the identity, under any of its names."""
    return ALIASES.get(name, name) == "identity"


def derivatives_of(name: str, u: Values) -> Three:
    """Return ``f'(u)``, ``f''(u)`` and ``f'''(u)`` of the activation of this name.

    Raises:
        InputError: the name is unknown, or its entry in the table has no second and third derivative.
    """
    activation = activation_named(name)
    if activation.curves is None:
        raise InputError(
            f"the activation {shown(name)} has no second and third derivative; give its entry in ACTIVATIONS curves=."
        )
    return activation.derivative(u), *activation.curves(u)


def check_activation(name: str, *, without: tuple[str, ...] = ()) -> str:
    """Return ``name`` if it is the name of an activation.

    Args:
        name: one of the table, an alias, or a name and its number, such as ``"leaky_relu:0.2"``.
        without: names of the table that are not allowed.

    Raises:
        InputError: the name is unknown; the message lists the known ones.
    """
    if isinstance(name, str) and name not in without:
        kind, colon, number = name.partition(":")
        if name in ACTIVATIONS or name in ALIASES or (colon and kind in PARAMETRISED and _is_float32(number)):
            return name
    names = ", ".join(known for known in (*ACTIVATIONS, *ALIASES) if known not in without)
    raise InputError(
        f"activation must be one of {names}, or a name with its number, such as leaky_relu:0.2 (the slope below 0) or "
        f"elu:0.5 (its alpha); got {shown(name)}."
    )


def _is_float32(text: str) -> bool:
    try:
        return abs(float(text)) <= float(np.finfo(np.float32).max)
    except ValueError:
        return False


@pytree
class Elementwise:
    """An element-wise activation ``u -> f(u)``, ``(d,) -> (d,)``, with Jacobian ``diag(f'(u))`` (Eq. 18-19).

    Args:
        name: the activation: ``identity`` (alias ``linear``), ``sigmoid``, ``relu``, ``tanh``, ``softplus``, ``gelu``
            (exact), ``gelu_tanh`` (its approximation), ``leaky_relu`` (slope 0.01), ``leaky_relu:0.2`` (another slope),
            ``elu`` (alpha 1), ``elu:0.5`` (another alpha), ``selu``, ``silu`` (alias ``swish``), ``mish``, ``relu6``,
            ``hard_sigmoid``, ``hard_swish`` (aliases ``hardsigmoid``, ``hardswish``), ``softsign``, ``cosine``,
            ``exp``, ``log`` or ``log_sigmoid``.
        size: d.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise, jacobian
        >>> jacobian(Elementwise("relu", 2), jnp.array([-1.0, 2.0])).tolist()
        [[0.0, 0.0], [0.0, 1.0]]
    """

    name: str = static()
    size: int = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.size,)

    def __call__(self, u: Vector) -> Vector:
        """Return ``f(u)``."""
        check_shape("u", u.shape, self.in_shape)
        return activation_named(self.name).function(u)

    def forward(self, u: Vector) -> tuple[Vector, Vector]:
        """Return ``f(u)`` and ``f'(u)``."""
        return self(u), activation_named(self.name).derivative(u)

    def pull_back(self, slope: Vector, rows: Rows) -> Rows:
        """Return ``rows diag(f'(u))``."""
        return rows * slope[None]

    def jacobian(self, slope: Vector) -> Float[Array, "d d"]:
        """Return ``diag(f'(u))``."""
        return jnp.diag(slope)

    def curvature(self, u: Vector, tangent: Vector, rows: Rows) -> Rows:
        """Return ``rows diag(f''(u) tangent)``: ``(T, d) -> (T, d)``."""
        return rows * (derivatives_of(self.name, u)[1] * tangent)[None]

    def taylor(self, u: Vector, series: Float[Array, "3 d"]) -> Float[Array, "3 d"]:
        """Return the derivatives of ``f(u(t))``: ``(3, d) -> (3, d)``."""
        return composed(derivatives_of(self.name, u), series)

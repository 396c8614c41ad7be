"""Element-wise activations f(u) and their derivatives f'(u) (Eq. 18-19)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_choice, check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector


class Activation(NamedTuple):
    """A function and its derivative, both element-wise."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


def sigmoid_derivative(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return ``f'(u) = f(u) (1 - f(u))``, Eq. 18."""
    # f(-u) is equal to 1 - f(u), but stays accurate where f(u) rounds to 1.
    return jax.nn.sigmoid(u) * jax.nn.sigmoid(-u)


def relu_derivative(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return ``f'(u) = 1 if u > 0 else 0``, Eq. 19; the slope at ``u = 0`` is 0, as in :func:`jax.nn.relu`."""
    return (u > 0).astype(u.dtype)


def tanh_derivative(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return ``f'(u) = 1 - tanh(u)^2 = 4 sigmoid(2u) sigmoid(-2u)``."""
    return 4 * sigmoid_derivative(2 * u)


def gelu(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return ``f(u) = u Phi(u)``, where Phi is the standard normal CDF (the exact GELU, not its tanh approximation)."""
    return jax.nn.gelu(u, approximate=False)


def gelu_derivative(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return ``f'(u) = Phi(u) + u phi(u)``, where phi is the standard normal density."""
    density = jnp.exp(-u * u / 2) / jnp.sqrt(2 * jnp.pi).astype(u.dtype)
    return jax.scipy.special.ndtr(u) + u * density


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(lambda u: u, jnp.ones_like),
    "sigmoid": Activation(jax.nn.sigmoid, sigmoid_derivative),
    "relu": Activation(jax.nn.relu, relu_derivative),
    "tanh": Activation(jnp.tanh, tanh_derivative),
    "softplus": Activation(jax.nn.softplus, jax.nn.sigmoid),
    "gelu": Activation(gelu, gelu_derivative),
    "cosine": Activation(jnp.cos, lambda u: -jnp.sin(u)),
    "exp": Activation(jnp.exp, jnp.exp),
    "log": Activation(jnp.log, lambda u: 1 / u),
    "log_sigmoid": Activation(jax.nn.log_sigmoid, lambda u: jax.nn.sigmoid(-u)),
}
"""The supported activations by name."""


def activation_named(name: str) -> Activation:
    """Return the activation of this name.

    Raises:
        InputError: the name is unknown; the message lists the known ones.
    """
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)]


@pytree
class Elementwise:
    """An element-wise activation ``u -> f(u)``, ``(d,) -> (d,)``, with Jacobian ``diag(f'(u))`` (Eq. 18-19).

    Args:
        name: the activation: ``identity``, ``sigmoid``, ``relu``, ``tanh``, ``softplus``, ``gelu``, ``cosine``,
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

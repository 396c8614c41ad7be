"""Activations: u -> f(u) entry by entry, with f'(u) beside f(u) (Eq. 18-19)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_choice, check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector


class Activation(NamedTuple):
    """A function and its derivative, both applied entry by entry."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


def sigmoid_derivative(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """f'(u) = f(u) (1 - f(u)), Eq. 18."""
    # 1 - f(u) = f(-u), which keeps its digits where f(u) rounds to 1.
    return jax.nn.sigmoid(u) * jax.nn.sigmoid(-u)


def relu_derivative(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """f'(u) = 1 if u > 0 else 0, Eq. 19; 0 at the kink, as :func:`jax.nn.relu` has it."""
    return (u > 0).astype(u.dtype)


def tanh_derivative(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """f'(u) = 1 - tanh(u)^2 = 4 sigmoid(2u) sigmoid(-2u)."""
    return 4 * sigmoid_derivative(2 * u)


def gelu(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """f(u) = u Phi(u), Phi the standard normal distribution function (the exact form, not the tanh fit)."""
    return jax.nn.gelu(u, approximate=False)


def gelu_derivative(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """f'(u) = Phi(u) + u phi(u), phi the standard normal density."""
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
"""Every activation by name."""


def activation_named(name: str) -> Activation:
    """Return the activation; an unknown name is refused with the list of those there are."""
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)]


@pytree
class Elementwise:
    """u -> f(u): (d,) -> (d,); the Jacobian is diag(f'(u))."""

    name: str = static()
    size: int = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.size,)

    def __call__(self, u: Vector) -> Vector:
        """Return f(u)."""
        check_shape("u", u.shape, self.in_shape)
        return activation_named(self.name).function(u)

    def forward(self, u: Vector) -> tuple[Vector, Vector]:
        """Return f(u) and f'(u)."""
        return self(u), activation_named(self.name).derivative(u)

    def pull_back(self, slope: Vector, rows: Rows) -> Rows:
        """Return rows diag(f'(u))."""
        return rows * slope[None]

    def jacobian(self, slope: Vector) -> Float[Array, "d d"]:
        """Return diag(f'(u))."""
        return jnp.diag(slope)

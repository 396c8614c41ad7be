"""Dense layer x_n = f(W_n x_{n-1} + b_n), Eq. 3 and 16, with dx_n/dx_{n-1} = diag(f'(u_n)) W_n, Eq. 17 and 20."""

from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector
from pcacam_jax.stages.activation import activation_named, derivatives_of
from pcacam_jax.stages.taylor import composed


@pytree
class Dense:
    """A dense layer ``x -> f(W x + b)``, ``(d_in,) -> (d_out,)`` (Eq. 3, 16), with Jacobian ``diag(f'(u)) W`` (Eq. 20).

    Args:
        kernel: ``W^T``, ``(d_in, d_out)``, the layout of Flax.
        bias: b, ``(d_out,)``.
        activation: the name of f, as in :class:`Elementwise`.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Dense
        >>> layer = Dense(kernel=jnp.array([[1.0], [2.0]]), bias=jnp.array([-1.0]), activation="relu")
        >>> float(layer(jnp.array([1.0, 1.0]))[0])
        2.0
    """

    kernel: Float[Array, "d_in d_out"]
    bias: Float[Array, " d_out"]
    activation: str = static(default="identity")

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d_in,)``."""
        return (self.kernel.shape[0],)

    def preactivation(self, x: Vector) -> Vector:
        """Return ``u = W x + b``, Eq. 16."""
        check_shape("x", x.shape, self.in_shape)
        return matmul(x, self.kernel) + self.bias

    def __call__(self, x: Vector) -> Vector:
        """Return ``f(W x + b)``."""
        return activation_named(self.activation).function(self.preactivation(x))

    def forward(self, x: Vector) -> tuple[Vector, Vector]:
        """Return ``f(u)`` and ``f'(u)``."""
        u, activation = self.preactivation(x), activation_named(self.activation)
        return activation.function(u), activation.derivative(u)

    def pull_back(self, slope: Vector, rows: Rows) -> Rows:
        """Return ``rows diag(f'(u)) W``."""
        return matmul(rows * slope[None], self.kernel.T)

    def jacobian(self, slope: Vector) -> Float[Array, "d_out d_in"]:
        """Return ``diag(f'(u)) W``, Eq. 20 and 22."""
        return slope[:, None] * self.kernel.T

    def curvature(self, x: Vector, tangent: Vector, rows: Rows) -> Rows:
        """Return ``rows diag(f''(u) W tangent) W``: ``(T, d_out) -> (T, d_in)``."""
        second = derivatives_of(self.activation, self.preactivation(x))[1]
        return matmul(rows * (second * matmul(tangent, self.kernel))[None], self.kernel.T)

    def taylor(self, x: Vector, series: Float[Array, "3 d_in"]) -> Float[Array, "3 d_out"]:
        """Return the derivatives of ``f(W x(t) + b)``: ``(3, d_in) -> (3, d_out)``."""
        return composed(derivatives_of(self.activation, self.preactivation(x)), matmul(series, self.kernel))

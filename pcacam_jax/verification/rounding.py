"""The effect of rounding on a Jacobian, measured with autodiff in float64.

A Jacobian computed in floating point is, up to a small factor, the exact Jacobian of a function whose parameters,
input and slopes are perturbed by eps. Parameters and input are perturbed relative to their size. The slopes of
activations are perturbed by an absolute amount, because autodiff computes a slope such as ``f (1 - f)`` with an error
of eps however small it is. The change of the derivatives per perturbation, times eps of a dtype, is the rounding error
to expect in that dtype.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pcacam_jax.core.types import Stage
from pcacam_jax.stages import Dense, Elementwise, KernelExpansion, OneVsOneExpansion, Softmax

AMOUNT = 2.0**-26
"""The relative perturbation, about the square root of eps in float64, so that few kinks lie within it."""

SAMPLES, VECTORS = 3, 8
"""Number of perturbations, and of random directions along which the derivatives are compared."""

SAFETY = 8
"""Number of perturbations of size eps that a computed Jacobian may differ from another one by."""


@dataclasses.dataclass(frozen=True)
class PerturbedSlope:
    """A stage with the same value whose derivatives by autodiff are larger by those of ``amount (skip + skip^2 / 2)``.

    The square is that of the change of skip.
    """

    stage: Any
    skip: Any
    """A function of the same input with a derivative that does not saturate."""
    amount: Array

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The input shape of the stage."""
        return self.stage.in_shape

    def __call__(self, x: Array) -> Array:
        """Return the value of the stage."""
        value = self.skip(x)
        change = value - jax.lax.stop_gradient(value)  # zero; the square adds to the second derivative alone
        return self.stage(x) + self.amount * (change + change * change / 2)

    def forward(self, x: Array) -> tuple[Array, None]:
        """Return the value; there is no closed form."""
        return self(x), None


def sensitivities(stage: Stage, x: Array, vectors: Array) -> dict[str, Array]:
    """Return how much the derivatives of each output along directions change, per perturbation.

    Args:
        stage: a stage or head in float64.
        x: the example.
        vectors: the directions, ``(k, n)``.

    Returns:
        By output, the change divided by :data:`AMOUNT`, in the root mean square over perturbations and directions of
        random signs; it estimates the Frobenius norm of the change of the Jacobian.
    """

    def derivatives(sample: Array) -> Any:
        amount = jnp.where(sample == 0, 0, AMOUNT)
        moved = perturbed(stage, x, amount, sample)
        _, tangent_map = jax.linearize(moved[0], moved[1])
        return jax.vmap(lambda v: tangent_map(v.astype(x.dtype).reshape(x.shape)))(vectors)

    def change(values: Array) -> Array:
        values = values.reshape(len(values), len(vectors), -1)
        square = jnp.sum((values[1:] - values[:1]) ** 2) / (len(values) - 1) / len(vectors)
        return jnp.sqrt(square) / AMOUNT

    result = jax.lax.map(derivatives, jnp.arange(SAMPLES + 1, dtype=x.dtype))
    return jax.tree.map(change, result if isinstance(result, dict) else {"": result})


def perturbed(stage: Any, x: Array, amount: Array, sample: Array) -> tuple[Any, Array]:
    """Return the stage and the example with parameters, slopes and entries perturbed by up to ``amount``."""
    leaves, structure = jax.tree.flatten((stage, x))
    moved = [_moved(leaf, amount * _pattern(leaf, sample + 10 * i)) for i, leaf in enumerate(leaves, start=1)]
    stage, x = jax.tree.unflatten(structure, moved)
    return jax.tree.map(lambda node: _with_slope(node, amount), stage, is_leaf=_is_saturating), x


def _moved(leaf: Array, amounts: Array) -> Array:
    # A single integer, such as the degree of a kernel, is exact, and another degree may have no real value.
    return leaf * (1 + jnp.where((leaf == jnp.round(leaf)) & (leaf.size == 1), 0, amounts))


def _pattern(leaf: Array, seed: Array) -> Array:
    """Return numbers in -1..1 that are unrelated between entries and seeds, of the shape of ``leaf``."""
    index = jnp.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape)
    return jnp.sin(index * (12.9898 + seed) + 78.233 * seed)


def _is_saturating(node: Any) -> bool:
    kernel = isinstance(node, KernelExpansion | OneVsOneExpansion) and node.kernel == "sigmoid"
    return kernel or isinstance(node, Dense | Elementwise | Softmax)


def _with_slope(node: Any, amount: Array) -> Any:
    if isinstance(node, Dense):
        return PerturbedSlope(node, node.preactivation, amount)
    if isinstance(node, KernelExpansion | OneVsOneExpansion):
        field = "dual" if isinstance(node, OneVsOneExpansion) else "coefficients"
        scaled = {field: jnp.abs(getattr(node, field)) * node.parameters["gamma"]}
        linear = dataclasses.replace(node, **scaled, parameters={}, kernel="linear")
        return PerturbedSlope(node, linear, amount)
    return PerturbedSlope(node, lambda x: x, amount) if isinstance(node, Elementwise | Softmax) else node

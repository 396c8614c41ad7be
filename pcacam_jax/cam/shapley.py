"""Shapley values: of positions and maps by permutations (Shap-CAM), and to second order (Shapley-CAM).

The value of a game is the real value y of the target. A player that is absent is set to zero: a position with all its
maps, or a whole map. A permutation adds the players one after another; what y gains is one sample of their Shapley
values, and the gains of one permutation add up to y(A) - y(0) exactly.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.gradcam import per_map, weighted
from pcacam_jax.cam.method import Result
from pcacam_jax.core.numerics import resolved
from pcacam_jax.head.masked import masked_head

BLOCK = 4
"""Number of pairs of permutations between two tests of the stopping rule."""


def shap_cam(
    example: Example,
    sign: int,
    *,
    key: Array,
    samples: int = 64,
    players: str = "positions",
    tolerance: float = 0.02,
) -> Result:
    """Return ``L = sum_k a_k A_k`` with weights from Shapley values (Zheng et al. 2022).

    Args:
        example: the example.
        sign: 1 for y, -1 for -y.
        key: the key of the permutations, which are the same for all examples.
        samples: the largest number of permutations, counted with their reverses.
        players: "positions" (``a_k = sum_ij phi_ij A_ijk / S_k``) or "maps" (``a_k = phi_k``, the value of map k).
        tolerance: stop when the largest standard error of every target is below this times its largest value.
    """
    values = shapley_values(example, key, samples, players, tolerance)
    errors, count = values.standard_errors, 2 * values.pairs
    if players == "maps":
        return weighted(sign * values.mean, example.maps)._replace(standard_errors=errors, permutations=count)
    space = example.maps.shape[:-1]
    phi = values.mean.reshape(-1, *space)
    products = jnp.einsum("t...,...k->tk", phi, example.maps, precision="highest")
    result = weighted(sign * per_map(products, example.maps), example.maps)
    errors = errors.reshape(-1, *space)
    return result._replace(standard_errors=errors, position_values=sign * phi, permutations=count)


class ShapleyValues(NamedTuple):
    """Shapley values of n players for T targets, estimated from pairs of permutations."""

    mean: Float[Array, "T n"]
    square: Float[Array, "T n"]
    """The sum of squared deviations of the pairs' means."""
    pairs: Int[Array, " T"]

    @property
    def standard_errors(self) -> Float[Array, "T n"]:
        """The standard errors of the means; infinite for a single pair."""
        count = self.pairs.astype(self.mean.dtype)[:, None]
        variance = self.square / jnp.maximum(count - 1, 1) / jnp.maximum(count, 1)
        return jnp.where(count > 1, jnp.sqrt(variance), jnp.inf)

    def with_pair(self, gains: Float[Array, "T n"], active: Bool[Array, " T"]) -> "ShapleyValues":
        """Return the estimate with one more pair for the active targets."""
        pairs = self.pairs + active
        deviation = jnp.where(active[:, None], gains - self.mean, 0)
        mean = self.mean + deviation / jnp.maximum(pairs, 1)[:, None]
        return ShapleyValues(mean, self.square + deviation * (gains - mean), pairs)


def shapley_values(example: Example, key: Array, samples: int, players: str, tolerance: float) -> ShapleyValues:
    """Estimate the Shapley values of the players, ``(T, n)``, by antithetic pairs of permutations.

    The permutations are the same for all targets. Each target stops on its own, so that its values do not depend on
    the others.
    """
    added = _Coalitions(example, players)
    most = max(1, samples // 2)
    block = min(BLOCK, most)
    keys = jax.random.split(key, -(-most // block) * block).reshape(-1, block)

    def pair(key: Array) -> Array:
        order = jax.random.permutation(key, added.count)
        return (added.gains(order) + added.gains(order[::-1])) / 2

    def active(values: ShapleyValues) -> Array:
        largest = jnp.max(jnp.abs(values.mean), axis=1)
        exact = jnp.max(values.standard_errors, axis=1) <= tolerance * largest
        return (values.pairs < most) & ~exact

    def step(state: tuple[Array, ShapleyValues]) -> tuple[Array, ShapleyValues]:
        index, values = state
        unfinished = active(values)
        for n, gains in enumerate(jnp.unstack(jax.vmap(pair)(keys[index]))):
            values = values.with_pair(gains, unfinished & (index * block + n < most))
        return index + 1, values

    targets = len(example.selection.outputs)
    zeros = jnp.zeros((targets, added.count), example.maps.dtype)
    start = ShapleyValues(zeros, zeros, jnp.zeros(targets, jnp.int32))
    return jax.lax.while_loop(lambda state: jnp.any(active(state[1])), step, (jnp.zeros((), jnp.int32), start))[1]


class _Coalitions:
    """The values of coalitions that grow by one player after another."""

    def __init__(self, example: Example, players: str) -> None:
        self.example, self.entry = example, example.entry
        self.masked = None
        if players == "maps":
            self.parts = self.entry.channel_parts(example.maps)
        elif self.entry.has_max_pool:
            self.masked = masked_head(self.entry, example.maps)
        else:
            parts = self.entry.position_parts(example.maps)
            self.parts = parts.reshape(example.positions, -1)
        self.count = example.maps.shape[-1] if players == "maps" else example.positions

    def gains(self, order: Int[Array, " n"]) -> Float[Array, "T n"]:
        """Return what each player adds to y when it joins those before it in the order."""
        if self.masked is not None:
            place = jnp.zeros_like(order).at[order].set(jnp.arange(self.count))
            masks = (place < jnp.arange(self.count + 1)[:, None]).astype(self.example.maps.dtype)
            u = jax.vmap(self.masked.u)(masks.reshape(-1, *self.example.maps.shape[:-1]))
        else:
            u_0 = self.entry(jnp.zeros_like(self.example.maps))
            u = u_0 + jnp.cumulative_sum(self.parts[order], axis=0, include_initial=True)
        values = jax.vmap(self._value)(u)
        gained = resolved(jnp.diff(values, axis=0), self.example.values[None])
        return jnp.zeros((values.shape[1], self.count), values.dtype).at[:, order].set(gained.T)

    def _value(self, u: Array) -> Array:
        return self.example.selection.values(self.entry.rest(u))


def shapley_cam(example: Example, sign: int) -> Result:
    """Return ``L = sum_k a_k A_k`` with ``a_k = mean_ij (g - H A / 2)`` (Cai 2025).

    H is the exact Hessian of y in the maps. For a piecewise linear target, ``H A = 0`` and the map is that of Grad-CAM.
    """
    curved = jnp.mean(example.hessian_product(example.maps), axis=example.axes)
    return weighted(sign * (example.pooled_gradient - curved / 2), example.maps)

"""The evaluation of many heads that differ in one part, each only once, without compiling each of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages.activation import Elementwise, activation_named
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.dense import Dense


class Trial:
    """Evaluates some outputs of similar heads; what two heads have in common is compiled and computed once.

    Args:
        names: the outputs.
    """

    def __init__(self, names: tuple[str, ...]):
        """Start without results."""
        self.names = names
        self._last: tuple[np.ndarray, jax.Array, np.ndarray] | None = None

    def outputs(self, head: HybridHead, maps: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs for maps ``(B, h, w, K)``, ``(B, size)`` each, in float64."""
        x_0 = _vmapped(head.spatial, jnp.asarray(maps, head.dtype))
        x_m, values = self._applied(head.dense, x_0, first=True), {}
        v = x_m
        if set(self.names) != {"cnn"} and head.pca is not None:
            values["pca"] = v = _vmapped(head.pca, x_m)
        for name in self.names:
            if name == "cnn":
                values[name] = self._applied(head.cnn, x_m, first=not head.dense.stages)
            elif name in head.svms:
                values[name] = _vmapped(head.svms[name], v)
        return {name: np.asarray(values[name], np.float64) for name in self.names}

    def _applied(self, stage: Any, x: jax.Array, *, first: bool = False) -> jax.Array:
        if isinstance(stage, Chain):
            for n, inner in enumerate(stage.stages):
                x = self._applied(inner, x, first=first and n == 0)
            return x
        if isinstance(stage, Dense):
            u = self._first_product(x, stage.kernel) if first else np.asarray(x) @ np.asarray(stage.kernel)
            return activation_named(stage.activation).function(jnp.asarray(u + np.asarray(stage.bias)))
        if isinstance(stage, Elementwise):
            return activation_named(stage.name).function(x)
        return _vmapped(stage, x)

    def _first_product(self, x: jax.Array, kernel: jax.Array) -> np.ndarray:
        """Return ``x @ kernel`` of the first layer, which is by far the largest and seldom changes."""
        if self._last is None or self._last[1] is not kernel or not np.array_equal(self._last[0], x):
            self._last = np.asarray(x), kernel, np.asarray(x) @ np.asarray(kernel)
        return self._last[2]


@jax.jit
def _vmapped(stage: Any, x: jax.Array) -> jax.Array:
    return jax.vmap(stage)(x)

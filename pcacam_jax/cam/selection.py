"""Which entries of which outputs are explained, for one example."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pcacam_jax.head import HybridHead
from pcacam_jax.pytree import pytree, static
from pcacam_jax.types import Rows, Vector


@pytree
class Selection:
    """T targets, each an entry of one output of a head."""

    columns: Int[Array, " T"]
    """The entry of each target, which may be a predicted class and so depend on the example."""
    outputs: tuple[str, ...] = static()
    """The output of each target."""

    def values(self, values: dict[str, Vector]) -> Float[Array, " T"]:
        """Return the targets' values, given every output's."""
        starts, start = {}, 0
        for output, value in values.items():
            starts[output], start = start, start + len(value)
        return jnp.concatenate(list(values.values()))[
            np.array([starts[output] for output in self.outputs]) + self.columns
        ]

    def rows(self, head: HybridHead) -> dict[str, Rows]:
        """Return one unit row per target, by output: what the pull-backs of a head take."""
        return {
            output: jax.nn.one_hot(self.columns[self._members(output)], len(names), dtype=head.dtype)
            for output, names in head.names
            if output in self.outputs
        }

    def in_order(self, head: HybridHead, stacked: Float[Array, "T ..."]) -> Float[Array, "T ..."]:
        """Return rows stacked in the order of the head's outputs in the order of the targets."""
        stacking = np.concatenate([self._members(output) for output in head.outputs if output in self.outputs])
        return stacked[np.argsort(stacking)]

    def _members(self, output: str) -> np.ndarray:
        return np.flatnonzero([own == output for own in self.outputs])

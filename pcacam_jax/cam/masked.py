"""The values of targets if only some positions of the maps are kept, through the head only."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.cam.example import Example
from pcacam_jax.core.numerics import matmul


def masked_values(example: Example) -> Callable[[Float[Array, "*space"]], Float[Array, " T"]]:
    """Return the function from a mask of the positions, 1 for kept and 0 for set to zero, to the values of the targets.

    Without a max-pool, a mask costs one product with the parts of the positions, and the rest of the head.
    """
    entry, maps = example.entry, example.maps
    if entry.has_max_pool:
        return lambda mask: example.selection.values(entry.rest(entry(maps * mask[..., None])))
    parts = entry.position_parts(maps).reshape(example.positions, -1)
    absent = entry(jnp.zeros_like(maps))
    return lambda mask: example.selection.values(entry.rest(absent + matmul(mask.reshape(-1), parts)))

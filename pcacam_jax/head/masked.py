"""A head at maps of which positions are set to zero, from sums that are computed once.

Let u be the first affine map of the head. Without a max-pool, u is a sum over positions. Behind one, it is a sum over
the windows of the pooling. The positions of a window can be kept or removed in few ways, 16 for 2 x 2 positions. The
part of u that comes from a window is computed for each of them, so another mask costs one lookup for each window.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.types import Maps, Vector
from pcacam_jax.head.entry import Entry
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages.chain import Chain


class MaskedHead(NamedTuple):
    """A head at one example as a function of masks, see :func:`masked_head`."""

    parts: Float[Array, "p *windows d"]
    """For each pattern of kept positions, the part of u from each window."""
    constant: Float[Array, " d"]
    """The value of u at maps of zeros."""
    rest: HybridHead
    """The head behind u."""
    side: int
    """The number of positions of a window along each axis."""

    def u(self, mask: Float[Array, "*space"]) -> Vector:
        """Return u for a mask with 1 for the positions that are kept and 0 for those that are removed."""
        *windows, _ = self.parts.shape[1:]
        rank = len(windows)
        inside = mask[tuple(slice(self.side * size) for size in windows)]
        split = inside.reshape([length for size in windows for length in (size, self.side)])
        entries = split.transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)).reshape(*windows, -1) > 0.5
        pattern = jnp.sum(entries * 2 ** jnp.arange(self.side**rank), axis=-1)
        chosen = self.parts[(pattern, *jnp.indices(windows, sparse=True))]
        return self.constant + jnp.sum(chosen, axis=tuple(range(rank)))

    def __call__(self, mask: Float[Array, "*space"]) -> dict[str, Vector]:
        """Return the values of all outputs for a mask."""
        return self.rest(self.u(mask))


def masked_head(entry: Entry, maps: Maps) -> MaskedHead:
    """Return a head at one example as a function of masks of positions.

    Args:
        entry: the head, split at its first affine map, with at most one max-pool before it.
        maps: ``(*space, K)``.
    """
    *pools, last = entry.spatial.stages
    side, space = 2 if pools else 1, maps.shape[:-1]
    behind = entry._replace(spatial=Chain((last,)))

    def parts_of(pattern: Array) -> Array:
        entries = (pattern >> jnp.arange(side ** len(space))) & 1
        mask = jnp.tile(entries.reshape([side] * len(space)), [-(-size // side) for size in space])
        kept = jnp.where(mask[tuple(map(slice, space))][..., None] > 0, maps, 0)
        for pool in pools:
            kept = pool(kept)
        return behind.position_parts(kept)

    parts = jax.lax.map(parts_of, jnp.arange(2 ** (side ** len(space))))
    constant = entry.affine(jnp.zeros_like(entry.spatial(maps)))
    return MaskedHead(parts, constant, entry.rest, side)

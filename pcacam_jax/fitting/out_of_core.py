"""Rows of feature maps that may be larger than memory, a block at a time."""

import math
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pcacam_jax.head.batches import batched
from pcacam_jax.stages import MaxPool

BLOCK_BYTES = 2**27
"""Of float32 features gathered from a file at once, unless a single batch is larger."""
RESIDENT_BYTES = 2**29
"""Of float32 features that are held in memory for the whole of training; on an accelerator, half of its memory."""

Block = tuple[Float[Array, "R h w K"], Int[Array, "n S B"], Int[Array, "n S B"], Float[Array, "n B"]]


def take(maps: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
    """Return ``maps[rows]`` as a float32 array in memory.

    A memory-mapped file is mapped anew for each call: pages that were read count as the process's memory for as long as
    their mapping lives.
    """
    if isinstance(maps, np.memmap) and isinstance(maps.base, mmap.mmap):  # the whole file, not a view of a part
        maps = np.memmap(str(maps.filename), maps.dtype, "r", maps.offset, maps.shape)
    return np.array(maps[rows], np.float32, copy=isinstance(rows, slice) or None)


def map_features(function: Callable[[Any], Any], maps: np.ndarray, size: int = 256) -> Any:
    """Apply a function of a batch to all maps; return the leaves of the concatenated result as NumPy arrays."""
    result = batched(jax.jit(function), maps, min(len(maps), size), np.float32, read=take)
    return jax.tree.map(np.asarray, result)


class Source:
    """The features that heads train on: all in memory where they fit, else gathered block by block.

    Args:
        maps: (N, h, w, K) in memory or in a memory-mapped file.
        scale: what they are divided by.
        pool: whether they go through a 2 x 2 max-pool first.
    """

    def __init__(self, maps: np.ndarray, *, scale: float = 1.0, pool: bool = False):
        self.maps, self.scale = maps, np.float32(scale)
        self.pool = jax.jit(jax.vmap(MaxPool(maps.shape[1:]))) if pool else None
        self.example = self.rows(slice(0, 1))
        """(1, h, w, K): what a head reads for one image."""
        self.row_bytes = 4 * math.prod(self.example.shape)
        fits = len(maps) * self.row_bytes <= resident_bytes()
        self.resident = self._all() if fits else None

    def rows(self, chosen: slice | np.ndarray) -> np.ndarray:
        """Return the chosen rows as a head reads them."""
        maps = take(self.maps, chosen)
        maps = maps if self.pool is None else np.array(self.pool(maps))
        maps /= self.scale
        return maps

    def _all(self) -> Array:
        """Return all rows on the device, where they go block by block."""
        size = max(BLOCK_BYTES // self.row_bytes, 1)
        parts = [jnp.asarray(self.rows(slice(start, start + size))) for start in range(0, len(self.maps), size)]
        return jnp.concatenate(parts)

    def blocks(
        self, rows: Int[np.ndarray, "n S B"], weights: Float[np.ndarray, "n B"], labels: Int[np.ndarray, " N"]
    ) -> Iterator[Block]:
        """Yield the batches in order, several at a time: features, the batches' positions in them, labels, weights."""
        if self.resident is not None:
            yield self.resident, jnp.asarray(rows), jnp.asarray(labels[rows]), jnp.asarray(weights)
            return
        size = max(BLOCK_BYTES // (self.row_bytes * rows[0].size), 1)
        for start in range(0, len(rows), size):
            own = rows[start : start + size]
            sorted_rows, positions = np.unique(own, return_inverse=True)
            features = np.zeros((own.size, *self.example.shape[1:]), np.float32)  # one shape, one compilation
            features[: len(sorted_rows)] = self.rows(sorted_rows)
            positions = jnp.asarray(positions.reshape(own.shape))
            yield jnp.asarray(features), positions, jnp.asarray(labels[own]), jnp.asarray(weights[start : start + size])


def root_mean_square(maps: np.ndarray, *, pool: bool = False) -> float:
    """Return the root mean square of all features, after a 2 x 2 max-pool if asked for; 1 where they are all zero."""
    squares, count, size = 0.0, 0, max(BLOCK_BYTES // (4 * math.prod(maps.shape[1:])), 1)
    pooled = jax.jit(jax.vmap(MaxPool(maps.shape[1:]))) if pool else np.asarray
    for start in range(0, len(maps), size):
        block = np.asarray(pooled(take(maps, slice(start, start + size))))
        squares += sum(float(np.sum(np.square(own, dtype=np.float64))) for own in block)
        count += block.size
    return math.sqrt(squares / count) or 1.0


def resident_bytes() -> int:
    """Return how many bytes of features may stay on the device."""
    statistics = jax.devices()[0].memory_stats() or {}
    limit = statistics.get("bytes_limit", 0) if jax.default_backend() != "cpu" else 0
    return max(limit // 2, RESIDENT_BYTES)

"""Access to feature maps that may be larger than memory, one block at a time."""

import math
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pcacam_jax.head.batches import Batch, all_finite, batched

BLOCK_BYTES = 2**27
"""Size of the float32 features read from a file at once, unless a single batch is larger."""
RESIDENT_BYTES = 2**29
"""Largest size of float32 features that stay in memory during training; on an accelerator, half of its memory."""

Block = tuple[Float[Array, "R h w K"], Int[Array, "n S B"], Int[Array, "n S B"], Float[Array, "n B"]]
"""Features; for n batches and S heads the positions of the images in them and their labels; weights of the images."""


def take(maps: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
    """Return ``maps[rows]`` as a float32 array in memory.

    A memory-mapped file is mapped again in each call, because the pages that were read count as memory of the process
    until their mapping is closed.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.out_of_core import take
        >>> maps = np.zeros((5, 2, 2, 3), np.float16)
        >>> rows = take(maps, np.array([0, 4]))
        >>> rows.shape, str(rows.dtype)
        ((2, 2, 2, 3), 'float32')
    """
    if isinstance(maps, np.memmap) and isinstance(maps.base, mmap.mmap):  # the whole file, not a view of a part
        maps = np.memmap(str(maps.filename), maps.dtype, "r", maps.offset, maps.shape)
    return np.array(maps[rows], np.float32, copy=isinstance(rows, slice) or None)


def map_features(function: Callable[[Any], Any], maps: np.ndarray, size: int = 256) -> Any:
    """Apply a function to feature maps batch by batch and concatenate the results.

    Args:
        function: a function from a batch ``(B, h, w, K)`` to an array or pytree of arrays with the batch as first axis;
            it is jitted here.
        maps: feature maps ``(N, h, w, K)``, in memory or memory-mapped.
        size: number of images in a batch.

    Returns:
        The results of all images as NumPy arrays; only one batch at a time is on the device.

    Raises:
        InputError: a feature is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.out_of_core import map_features
        >>> maps = np.ones((5, 2, 2, 3), np.float32)
        >>> map_features(lambda batch: batch.sum(axis=(1, 2, 3)), maps, size=2).tolist()
        [12.0, 12.0, 12.0, 12.0, 12.0]
    """

    @jax.jit
    def compiled(batch: Array) -> Batch:
        return Batch(all_finite(batch), function(batch))

    return batched(compiled, maps, size, np.float32, name="map_features", read=take)[0]


class Source:
    """The features that heads are trained on: all in memory if they fit, otherwise read block by block.

    Args:
        maps: feature maps ``(N, h, w, K)``, in memory or memory-mapped.
        scale: divisor of the features.
    """

    def __init__(self, maps: np.ndarray, *, scale: float = 1.0):
        self.maps, self.scale = maps, np.float32(scale)
        self.example = self.rows(slice(0, 1))
        """Input of a head for one image, ``(1, h, w, K)``."""
        self.row_bytes = 4 * math.prod(self.example.shape)
        fits = len(maps) * self.row_bytes <= resident_bytes()
        self.resident = self._all() if fits else None

    def rows(self, indices: slice | np.ndarray) -> np.ndarray:
        """Return the scaled features of these images."""
        maps = take(self.maps, indices)
        maps /= self.scale
        return maps

    def _all(self) -> Array:
        """Return all features on the device; they are transferred block by block."""
        size = max(BLOCK_BYTES // self.row_bytes, 1)
        parts = [jnp.asarray(self.rows(slice(start, start + size))) for start in range(0, len(self.maps), size)]
        return jnp.concatenate(parts)

    def blocks(
        self, rows: Int[np.ndarray, "n S B"], weights: Float[np.ndarray, "n B"], labels: Int[np.ndarray, " N"]
    ) -> Iterator[Block]:
        """Yield the batches in order, as many at a time as fit in a block; ``rows`` holds the images of every batch."""
        if self.resident is not None:
            yield self.resident, jnp.asarray(rows), jnp.asarray(labels[rows]), jnp.asarray(weights)
            return
        size = max(BLOCK_BYTES // (self.row_bytes * rows[0].size), 1)
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            images = rows[part]
            sorted_rows, positions = np.unique(images, return_inverse=True)
            features = np.zeros((images.size, *self.example.shape[1:]), np.float32)  # padded to compile only once
            features[: len(sorted_rows)] = self.rows(sorted_rows)
            positions = jnp.asarray(positions.reshape(images.shape))
            yield jnp.asarray(features), positions, jnp.asarray(labels[images]), jnp.asarray(weights[part])


def root_mean_square(maps: np.ndarray) -> float:
    """Return the root mean square of all features, or 1 if they are all zero.

    Args:
        maps: feature maps ``(N, h, w, K)``, in memory or memory-mapped.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.out_of_core import root_mean_square
        >>> root_mean_square(np.full((3, 2, 2, 4), 5.0, np.float32))
        5.0
    """
    squares, count, size = 0.0, 0, max(BLOCK_BYTES // (4 * math.prod(maps.shape[1:])), 1)
    for start in range(0, len(maps), size):
        block = take(maps, slice(start, start + size))
        squares += sum(float(np.sum(np.square(image, dtype=np.float64))) for image in block)
        count += block.size
    return math.sqrt(squares / count) or 1.0


def resident_bytes() -> int:
    """Return the largest size in bytes of features that may stay on the device."""
    statistics = jax.devices()[0].memory_stats() or {}
    limit = statistics.get("bytes_limit", 0) if jax.default_backend() != "cpu" else 0
    return max(limit // 2, RESIDENT_BYTES)

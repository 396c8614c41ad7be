"""Feature maps at the tap, for the few images of a dataset that are explained."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.data import Split
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.features import CACHED_TAP, batch_size, extract_all
from pcacam_jax.fitting.out_of_core import take
from pcacam_jax.nets import vgg16

MOST_BYTES = 2**28
"""Largest size of the maps that are kept in memory; those of further images are extracted in every call."""


@dataclasses.dataclass(eq=False)
class TapMaps:
    """The feature maps at the tap of all images of a split, ``(N, h, w, K)``, as an array that is computed on demand.

    If the tap is :data:`~pcacam_jax.fitting.features.CACHED_TAP`, these are the cached maps. Otherwise VGG16 computes
    the maps of the images that are indexed; their max-pool equals the cached maps. An image is computed once
    while there is space for its maps.
    """

    params: vgg16.Params
    split: Split
    config: FitConfig
    cached: Float[np.ndarray, "N h2 w2 K"]
    """The cached maps of the split."""
    kept: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    """The maps that were computed, by row."""

    __repr__ = brief_repr

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(N, h, w, K)``."""
        return (len(self.split), *vgg16.maps_shape((self.config.size, self.config.size), self.config.tap))

    def __len__(self) -> int:
        """Return N."""
        return len(self.split)

    def __getitem__(self, rows: Any) -> Float[np.ndarray, "*n h w K"]:
        """Return the float32 maps of images, which are chosen as in a NumPy array."""
        if self.config.tap == CACHED_TAP:
            return take(self.cached, rows)
        indices = np.arange(len(self))[rows]
        computed = self._computed(sorted({int(row) for row in indices.flat} - self.kept.keys()))
        maps = [self.kept[row] if row in self.kept else computed[row] for row in map(int, indices.flat)]
        return np.array(maps, np.float32).reshape(*indices.shape, *self.shape[1:])

    def _computed(self, rows: list[int]) -> dict[int, np.ndarray]:
        """Extract the maps of these images, and keep them while there is space."""
        config, computed, size = self.config, {}, batch_size()
        options = {"tap": config.tap, "scaling": config.scaling, "dtype": config.compute}
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            maps = extract_all(self.params, self.split.images(np.array(batch), config.size), **options)
            computed |= zip(batch, stored(maps, config.storage), strict=True)
        for row, maps in computed.items():
            if (len(self.kept) + 1) * maps.nbytes <= MOST_BYTES:
                self.kept[row] = maps
        return computed


def stored(maps: Float[np.ndarray, "B h w K"], storage: str) -> Float[np.ndarray, "B h w K"]:
    """Return maps as float32, rounded as the cached maps are, so that heads give the same values for both.

    Values that are too large become the largest number of ``storage``; the cache rejects them, so they occur only in
    the last row or column of an odd size, which the max-pool drops.
    """
    return np.minimum(maps, np.finfo(storage).max).astype(storage).astype(np.float32)

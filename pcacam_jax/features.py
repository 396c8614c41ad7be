"""Feature maps of whole data sets: extracted once in jitted batches, kept in the cache, memory-mapped."""

import functools
import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.checks import InputError
from pcacam_jax.data import Split
from pcacam_jax.files import cache_folder, writable_folder, written_whole
from pcacam_jax.nets import vgg16
from pcacam_jax.progress import Advance, unseen

BATCH = 16
FORMAT = 1
"""Part of the cache key: raise it when the same key would mean other numbers."""


@functools.partial(jax.jit, static_argnames=("tap", "scaling", "dtype"))
def extract(params: vgg16.Params, images: Array, *, tap: str, scaling: str, dtype: str) -> Float[Array, "B h w K"]:
    """Return the maps of a batch of images, compiled once for each shape."""
    return vgg16.features(params, images, tap=tap, scaling=scaling, dtype=jnp.dtype(dtype))


def cached_features(
    params: vgg16.Params,
    weights_digest: str,
    split: Split,
    *,
    size: int,
    tap: str,
    scaling: str,
    dtype: str,
    advance: Advance = unseen,
) -> np.ndarray:
    """Return the (N, h, w, K) float32 maps of a split, memory-mapped from the cache, where they are put if absent.

    The cache file is named by the data's content, the weights' digest, tap, size, scaling and compute dtype.

    Args:
        params: VGG16's parameters.
        weights_digest: their digest.
        split: the images.
        size: side in pixels to which they are resized.
        tap: layer whose maps are taken.
        scaling: ``"caffe"`` or ``"unit"``.
        dtype: ``"float32"`` or ``"bfloat16"``, of the computation.
        advance: called with the number of images done since the last call.

    Raises:
        InputError: an image that cannot be decoded, a cache that cannot be written to or is out of space.
    """
    options = {"tap": tap, "scaling": scaling, "dtype": dtype}
    key = {"format": FORMAT, "data": split.fingerprint(), "weights": weights_digest, "size": size, **options}
    shape = (len(split), *vgg16.maps_shape((size, size), tap))
    path = _cache_path(key)
    if (cached := _open(path, shape)) is not None:
        advance(len(split))
        return cached
    _check_space(path.parent, 4 * math.prod(shape))
    with written_whole(path) as temporary:
        maps = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        for start in range(0, len(split), BATCH):
            indices = np.arange(start, min(start + BATCH, len(split)))
            images = split.images(indices, size)
            padding = [(0, BATCH - len(indices))] + [(0, 0)] * 3
            batch = extract(params, np.pad(images, padding), **options)
            maps[indices] = np.asarray(batch)[: len(indices)]
            advance(len(indices))
        maps.flush()
        del maps
    return np.load(path, mmap_mode="r")


def _cache_path(key: Mapping[str, Any]) -> Path:
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    return writable_folder(cache_folder() / "features") / f"{name}.npy"


def _open(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the cached array, or None where it is absent or not whole."""
    try:
        maps = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return maps if maps.shape == shape and maps.dtype == np.float32 else None


def _check_space(folder: Path, needed: int) -> None:
    # A memory map on a full disk ends the process without a word.
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"the feature maps need {needed / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f} GB free; make room "
            "or set PCACAM_CACHE to another folder."
        )

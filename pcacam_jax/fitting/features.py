"""Feature maps of whole data sets: extracted once in jitted batches, kept in the cache, memory-mapped."""

import functools
import shutil
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.progress import Advance, unseen
from pcacam_jax.data import Split
from pcacam_jax.fitting.feature_cache import FeatureCache, locked_cache
from pcacam_jax.nets import vgg16

BATCH = 16
ACCELERATOR_BATCH = 64
CHUNK_BATCHES = 8
"""Batches in a chunk of the cache: what a kill can lose, a few seconds of work."""

STORAGES = ("float32", "float16")
FORMAT = 3
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
    storage: str = "float32",
    advance: Advance = unseen,
) -> np.ndarray:
    """Return the (N, h, w, K) maps of a split, memory-mapped from the cache, where those that are absent are put first.

    The cache is named by the data's content, the weights' digest, tap, size, scaling, both dtypes and the backend. It
    grows by chunks: a run that was killed goes on where it was, and of two runs one waits for the other.

    Args:
        params: VGG16's parameters.
        weights_digest: their digest.
        split: the images.
        size: side in pixels to which they are resized.
        tap: layer whose maps are taken.
        scaling: ``"caffe"`` or ``"unit"``.
        dtype: ``"float32"`` or ``"bfloat16"``, of the computation.
        storage: ``"float32"`` or ``"float16"``, of the result: half the disk at about three significant digits.
        advance: called with the number of images done since the last call, ``KEPT`` for those that were in the cache.

    Raises:
        InputError: an image that cannot be decoded, maps that are not finite in ``storage``, a cache that cannot be
            written to, is out of space, or holds the features of another key under this one's name.
    """
    options = {"tap": tap, "scaling": scaling, "dtype": dtype}
    key = {
        "format": FORMAT,
        "data": split.fingerprint(),
        "weights": weights_digest,
        "size": size,
        **options,
        "storage": check_choice("storage", storage, STORAGES),
        "backend": jax.default_backend(),  # an accelerator rounds otherwise: no file may have some of each
    }
    shape = (len(split), *vgg16.maps_shape((size, size), tap))
    batch = batch_size()

    def maps_of(rows: range) -> np.ndarray:
        # Filled up to one shape, so that it is compiled once
        padding = [(0, batch - len(rows))] + [(0, 0)] * 3
        images = np.pad(split.images(np.asarray(rows), size), padding)
        return np.asarray(extract(params, images, **options))[: len(rows)]

    with locked_cache(key, shape, storage, chunk=CHUNK_BATCHES * batch, advance=advance) as cache:
        if missing := cache.missing(advance):
            _check_before(split, cache, missing, advance)
        for index in missing:
            cache.write(index, _batches(maps_of, cache.rows(index), batch, cache.dtype, advance))
        return cache.maps()


def batch_size() -> int:
    """Return how many images go through the network at once: more where an accelerator would idle."""
    return BATCH if jax.default_backend() == "cpu" else ACCELERATOR_BATCH


def _batches(
    maps_of: Callable[[range], np.ndarray], rows: range, batch: int, dtype: np.dtype, advance: Advance
) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        yield _stored(maps_of(part), dtype, part.start)
        advance(len(part))


def _stored(maps: np.ndarray, dtype: np.dtype, start: int) -> np.ndarray:
    with np.errstate(over="ignore"):  # found below
        stored = maps.astype(dtype)
    if not (good := np.isfinite(stored).all(axis=(1, 2, 3))).all():
        row = int(np.argmin(good))
        if np.isfinite(maps[row]).all():
            raise InputError(
                f"the features must be below {np.finfo(dtype).max:.0f} to be stored as {dtype.name}, but image "
                f"{start + row} has {np.abs(maps[row]).max():.0f}; store them as float32."
            )
        raise InputError(
            f"the features must be finite, but those of image {start + row} are not; check the weights, or compute in "
            "float32."
        )
    return stored


def _check_before(split: Split, cache: FeatureCache, missing: list[int], advance: Advance) -> None:
    """Refuse now what would stop the work after hours: an image that cannot be decoded, too small a disk."""
    rows = np.concatenate([np.asarray(cache.rows(index)) for index in missing])
    needed = sum(cache.nbytes(cache.rows(index)) for index in missing)
    free = shutil.disk_usage(cache.folder).free
    if free < needed:
        raise InputError(
            f"the feature maps need {needed / 1e6:,.0f} MB in {cache.folder}, which has {free / 1e6:,.0f} MB free; "
            "make room, set PCACAM_CACHE to another folder, or store them as float16."
        )
    advance(0, "checking the images")
    (split if len(rows) == len(split) else split.take(rows)).check()

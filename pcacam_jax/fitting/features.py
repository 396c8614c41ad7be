"""Feature maps of images: of whole datasets, cached on disk and memory-mapped, or of a few images at once."""

import functools
import shutil
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.progress import Advance, no_progress
from pcacam_jax.data import Split
from pcacam_jax.fitting.feature_cache import FeatureCache, locked_cache
from pcacam_jax.nets import vgg16

BATCH = 16
"""Images in a batch on a CPU."""
ACCELERATOR_BATCH = 64
"""Images in a batch on an accelerator."""
CHUNK_BATCHES = 8
"""Batches in a chunk of the cache, the most that is lost when the process is killed: a few seconds of work."""

CACHED_TAP = "block5_pool"
"""The layer of VGG16 whose maps are cached and train the head; those of a finer tap need four times the space."""
STORAGES = ("float32", "float16")
FORMAT = 3
"""Part of the cache key; increase it whenever the same key would give other numbers."""


@functools.partial(jax.jit, static_argnames=("tap", "scaling", "dtype"))
def extract(params: vgg16.Params, images: Array, *, tap: str, scaling: str, dtype: str) -> Float[Array, "B h w K"]:
    """Return the feature maps of a batch of images; compiled once per shape."""
    return vgg16.features(params, images, tap=tap, scaling=scaling, dtype=dtype)


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
    advance: Advance = no_progress,
) -> np.ndarray:
    """Return the feature maps of a split, and extract those that are not cached yet.

    The cache key consists of the content of the images, the weights' digest, size, tap, scaling, both dtypes and the
    backend. The cache grows chunk by chunk, so that an interrupted extraction continues where it stopped. If two
    processes need the same maps, one waits for the other.

    Args:
        params: VGG16's parameters.
        weights_digest: digest of these parameters.
        split: the images.
        size: side in pixels to which they are resized.
        tap: layer of VGG16 whose maps are returned.
        scaling: ``"caffe"`` or ``"unit"``.
        dtype: dtype of the computation, ``"float32"``, ``"tensorfloat32"`` or ``"bfloat16"``.
        storage: dtype of the result, ``"float32"`` or ``"float16"``, which halves the disk space and keeps about three
            significant digits.
        advance: called with the number of images done since the last call; its second argument is ``CACHED`` for images
            whose maps were cached.

    Returns:
        The maps ``(N, h, w, K)`` as a read-only memory map.

    Raises:
        InputError: the device does not have the dtype, an image cannot be decoded, maps are not finite in ``storage``,
            the cache is not writable or the disk too small, or the cache holds the features of another key.
    """
    options = {"tap": tap, "scaling": scaling, "dtype": vgg16.check_dtype(dtype)}
    key = {
        "format": FORMAT,
        "data": split.fingerprint(),
        "weights": weights_digest,
        "size": size,
        **options,
        "storage": check_choice("storage", storage, STORAGES),
        "backend": jax.default_backend(),  # rounding differs between backends, so they must not share a file
    }
    shape = (len(split), *vgg16.maps_shape((size, size), tap))
    batch = batch_size()

    def maps_of(rows: range) -> np.ndarray:
        # Padded to one shape, so that it is compiled once
        padding = [(0, batch - len(rows))] + [(0, 0)] * 3
        images = np.pad(split.images(np.asarray(rows), size), padding)
        return np.asarray(extract(params, images, **options))[: len(rows)]

    with locked_cache(key, shape, storage, chunk=CHUNK_BATCHES * batch, advance=advance) as cache:
        if missing := cache.missing(advance):
            _check_images_and_space(split, cache, missing, advance)
        for index in missing:
            cache.write(index, _batches(maps_of, cache.rows(index), batch, cache.dtype, advance))
        return cache.maps()


def extract_all(params: vgg16.Params, images: np.ndarray, **options: str) -> Float[np.ndarray, "B h w K"]:
    """Return the feature maps of any number of images, extracted in batches.

    Each batch is padded to a power of two, so that few shapes are compiled.

    Args:
        params: VGG16's parameters.
        images: ``(B, size, size, 3)``, values in 0..255.
        **options: the further arguments of :func:`extract`.
    """
    batch, results = batch_size(), []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        size = 1 << (len(part) - 1).bit_length()
        padded = np.pad(part, [(0, size - len(part)), *[(0, 0)] * 3])
        results.append(np.asarray(extract(params, padded, **options))[: len(part)])
    return np.concatenate(results)


def batch_size() -> int:
    """Return the number of images in a batch; larger on an accelerator, to use it fully."""
    return BATCH if jax.default_backend() == "cpu" else ACCELERATOR_BATCH


def _batches(
    maps_of: Callable[[range], np.ndarray], rows: range, batch: int, dtype: np.dtype, advance: Advance
) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), batch):
        batch_rows = rows[start : start + batch]
        yield _converted(maps_of(batch_rows), dtype, batch_rows.start)
        advance(len(batch_rows))


def _converted(maps: np.ndarray, dtype: np.dtype, start: int) -> np.ndarray:
    """Return maps in the storage dtype; ``start`` is the index of their first image, for the error message."""
    with np.errstate(over="ignore"):  # an overflow is reported below
        converted = maps.astype(dtype)
    if not (finite := np.isfinite(converted).all(axis=(1, 2, 3))).all():
        row = int(np.argmin(finite))
        if np.isfinite(maps[row]).all():
            raise InputError(
                f"the features must be below {np.finfo(dtype).max:.0f} to be stored as {dtype.name}, but image "
                f"{start + row} has {np.abs(maps[row]).max():.0f}; store the features as float32."
            )
        raise InputError(
            f"the features must be finite, but those of image {start + row} are not; check the weights, or compute in "
            "float32."
        )
    return converted


def _check_images_and_space(split: Split, cache: FeatureCache, missing: list[int], advance: Advance) -> None:
    """Raise before the extraction, which may take hours, if an image cannot be decoded or the disk is too small."""
    rows = np.concatenate([np.asarray(cache.rows(index)) for index in missing])
    needed = sum(cache.nbytes(cache.rows(index)) for index in missing)
    free = shutil.disk_usage(cache.folder).free
    if free < needed:
        raise InputError(
            f"the feature maps need {needed / 1e6:,.0f} MB in {cache.folder}, which has {free / 1e6:,.0f} MB free; "
            "free some disk space, set PCACAM_CACHE to another folder, or store them as float16."
        )
    advance(0, "checking the images")
    (split if len(rows) == len(split) else split.take(rows)).check()

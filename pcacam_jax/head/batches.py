"""Batches at the doors: maps as they came, checked and cut into equal parts, and the entry each target means."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_finite
from pcacam_jax.core.text import plain
from pcacam_jax.head.hybrid import HybridHead


def checked_maps(head: HybridHead, maps: Any) -> Any:
    """Return the maps as they came, as an array; they are converted and checked batch by batch.

    Raises:
        InputError: a masked array, values that are not real numbers, or another shape than (B, h, w, K).
    """
    expected = head.in_shape
    if isinstance(maps, np.ma.MaskedArray):
        raise InputError("maps must not be a masked array, whose mask would be ignored; fill it first.")
    try:
        maps = maps if isinstance(maps, jax.Array) else np.asarray(maps)
    except (TypeError, ValueError, RuntimeError) as error:  # nested lists of several lengths, tensors with a gradient
        raise InputError(
            f"maps must be one array of shape (B, {', '.join(map(str, expected))}); got a {type(maps).__name__} that "
            f"NumPy cannot read as an array ({plain(error)})."
        ) from error
    if maps.dtype.kind not in "fiub" and not jnp.issubdtype(maps.dtype, jnp.floating):
        raise InputError(f"maps must be real numbers; got the dtype {maps.dtype}.")
    if maps.ndim != 4 or maps.shape[1:] != expected or maps.shape[0] == 0:
        raise InputError(
            f"maps must have shape (B, {', '.join(map(str, expected))}), a batch with channels last; got {maps.shape}."
        )
    return maps


def checked_batch(batch: Any, dtype: Any, start: int) -> Array:
    """Return a batch in ``dtype``; ``start`` is the place of its first example among all.

    Raises:
        InputError: NaN or infinite values, or values beyond ``dtype``.
    """
    with np.errstate(over="ignore"):
        batch = jnp.asarray(batch, dtype)
    check_finite(f"maps[{start}:{start + len(batch)}]" if start else "maps", batch)
    return batch


def check_explained(targets: Sequence[str], *found: Float[Array, "B T ..."]) -> None:
    """Refuse values and maps that are NaN or infinite although the feature maps are finite.

    Raises:
        InputError: naming the first example, and its first target.
    """
    finite = [jnp.isfinite(own).all(axis=tuple(range(2, own.ndim))) for own in found]
    if all(bool(own.all()) for own in finite):
        return
    b, t = map(int, np.argwhere(~np.all(np.array(finite), axis=0))[0])
    raise InputError(
        f"the value and map of {targets[t]} must be finite, but at example {b} they are not: an estimator of this head "
        f"is not defined there (a power of a negative number, a logarithm of 0) or the numbers are too large for "
        f"{found[0].dtype}; leave that example out, or fit estimators that are defined there."
    )


def checked_batch_size(batch_size: int | None, count: int, default: int) -> int:
    """Return how many of ``count`` examples are taken at a time, ``default`` where the caller does not say.

    Raises:
        InputError: not an integer of at least 1.
    """
    if batch_size is None:
        return min(count, default)
    return min(checked_count("batch_size", batch_size), count)


def checked_count(name: str, value: Any) -> int:
    """Return an integer of any kind as Python's own.

    Raises:
        InputError: not an integer of at least 1.
    """
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"{name} must be an integer of at least 1; got {value!r}.")
    return number


def filled(batch: Array, size: int) -> Array:
    """Repeat the last example up to ``size``, so that a last short batch compiles nothing new."""
    return jnp.concatenate([batch, jnp.repeat(batch[-1:], size - len(batch), axis=0)])


def in_dtype(dtype: Any) -> Callable[[Array], Array]:
    """Return the conversion of floats to ``dtype``; integers stay as they are."""
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    return lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def batched(
    function: Callable[[Array], Any],
    maps: Any,
    size: int,
    dtype: Any,
    *,
    read: Callable[[Any, slice], Any] = operator.getitem,
) -> Any:
    """Apply a compiled function of a batch to all maps and concatenate the results.

    Args:
        function: maps (size, h, w, K) to a pytree of arrays whose first axis has length ``size``.
        maps: (B, h, w, K), in memory or memory-mapped.
        size: examples per batch; the last batch is padded, so the function is compiled once.
        dtype: of the batches.
        read: returns the rows of ``maps`` in a slice.
    """
    parts = []
    for start in range(0, len(maps), size):
        batch = checked_batch(read(maps, slice(start, start + size)), dtype, start)
        parts.append(function(filled(batch, size)))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[: len(maps)], *parts)

"""Validation of feature maps, and the evaluation of a compiled function on batches of equal size."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_finite
from pcacam_jax.core.text import one_line
from pcacam_jax.head.hybrid import HybridHead


def checked_maps(head: HybridHead, maps: Any) -> Any:
    """Check the type and shape of feature maps and return them as an array, ``(B, h, w, K)``.

    The values are neither converted nor checked here, because the array may be memory-mapped; :func:`checked_batch`
    does both for each batch.

    Raises:
        InputError: the array is masked, its values are not real numbers, or its shape is not ``(B, h, w, K)``.
    """
    expected = head.in_shape
    if isinstance(maps, np.ma.MaskedArray):
        raise InputError("maps must not be a masked array, because the mask would be ignored; fill it first.")
    try:
        maps = maps if isinstance(maps, jax.Array) else np.asarray(maps)
    except (TypeError, ValueError, RuntimeError) as error:  # nested lists of unequal lengths, tensors with a gradient
        raise InputError(
            f"maps must be one array of shape (B, {', '.join(map(str, expected))}); got a {type(maps).__name__} that "
            f"NumPy cannot convert to an array ({one_line(error)})."
        ) from error
    if maps.dtype.kind not in "fiub" and not jnp.issubdtype(maps.dtype, jnp.floating):
        raise InputError(f"maps must be real numbers; got the dtype {maps.dtype}.")
    if maps.ndim != 4 or maps.shape[1:] != expected or maps.shape[0] == 0:
        raise InputError(
            f"maps must have shape (B, {', '.join(map(str, expected))}), a batch with channels last; got {maps.shape}."
        )
    return maps


def checked_batch(batch: Any, dtype: Any, start: int) -> Array:
    """Convert a batch to ``dtype`` and check its values; ``start`` is the index of its first example.

    Raises:
        InputError: a value is NaN, infinite or too large for ``dtype``.
    """
    with np.errstate(over="ignore"):
        batch = jnp.asarray(batch, dtype)
    check_finite(f"maps[{start}:{start + len(batch)}]" if start else "maps", batch)
    return batch


def check_explained(targets: Sequence[str], *results: Float[Array, "B T ..."]) -> None:
    """Check that values and heatmaps are finite; they may not be although the feature maps are.

    Raises:
        InputError: a result is NaN or infinite; the message names the first example and its first target.
    """
    finite = [jnp.isfinite(array).all(axis=tuple(range(2, array.ndim))) for array in results]
    if all(bool(flags.all()) for flags in finite):
        return
    b, t = map(int, np.argwhere(~np.all(np.array(finite), axis=0))[0])
    raise InputError(
        f"the value and map of {targets[t]} must be finite, but at example {b} they are not: an estimator of this head "
        f"is not defined there (a power of a negative number, a logarithm of 0) or the numbers are too large for "
        f"{results[0].dtype}; leave that example out, or fit estimators that are defined there."
    )


def checked_batch_size(batch_size: int | None, count: int, default: int) -> int:
    """Return the number of examples per batch, at most ``count``; ``default`` if ``batch_size`` is None.

    Raises:
        InputError: ``batch_size`` is not an integer of at least 1.
    """
    if batch_size is None:
        return min(count, default)
    return min(checked_count("batch_size", batch_size), count)


def checked_count(name: str, value: Any) -> int:
    """Convert a positive integer of Python or NumPy to ``int``; ``name`` is its name in the error message.

    Raises:
        InputError: the value is not an integer of at least 1.
    """
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"{name} must be an integer of at least 1; got {value!r}.")
    return number


def padded(batch: Array, size: int) -> Array:
    """Repeat the last example up to ``size`` examples, so that a short last batch needs no new compilation."""
    return jnp.concatenate([batch, jnp.repeat(batch[-1:], size - len(batch), axis=0)])


def in_dtype(dtype: Any) -> Callable[[Array], Array]:
    """Return a function that converts floating-point arrays to ``dtype`` and returns other arrays unchanged."""
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    return lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def batched(
    function: Callable[[Array], Any],
    maps: Any,
    size: int,
    dtype: Any,
    *,
    read: Callable[[Any, slice], Any] = operator.getitem,
    join: Callable[[list[Any]], Any] = jnp.concatenate,
) -> Any:
    """Apply a compiled function of a batch to all maps and concatenate the results.

    Args:
        function: a function from maps ``(size, h, w, K)`` to a pytree of arrays whose first axis has length ``size``;
            each row of a result must depend on its own example only.
        maps: ``(B, h, w, K)``, in memory or memory-mapped.
        size: number of examples per batch. The last batch is padded, so that the function is compiled once.
        dtype: the dtype of the batches.
        read: a function that returns the rows of ``maps`` in a slice.
        join: a function that concatenates the results of all batches, on the device or on the host.

    Returns:
        The pytree of results with first axes of length B.

    Raises:
        InputError: a value of ``maps`` is NaN, infinite or too large for ``dtype``.
    """
    results = []
    for start in range(0, len(maps), size):
        batch = checked_batch(read(maps, slice(start, start + size)), dtype, start)
        results.append(function(padded(batch, size)))
    return jax.tree.map(lambda *leaves: join(list(leaves))[: len(maps)], *results)

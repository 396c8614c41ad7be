"""Validation of feature maps, and the evaluation of a compiled function on batches of few sizes.

A batch is one compiled call, checks included. The host prepares the batch with NumPy and reads the checks and the small
results of the call together.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from pcacam_jax.core.arrays import unwrapped
from pcacam_jax.core.checks import InputError, check_device, check_finite
from pcacam_jax.core.text import one_line, shown
from pcacam_jax.head.axis_order import warn_about_axis_order
from pcacam_jax.head.hybrid import HybridHead

WITH_ONE_EXAMPLE = ("explain", "decompose", "evidence")
"""The functions that have a form for one example, which can be transformed."""


class Batch(NamedTuple):
    """The results of a compiled function of a batch; the first axis of every array is the example."""

    usable: Bool[Array, " B"]
    """Whether the feature maps of each example are finite."""
    small: Any
    """A pytree of results that are read by the host."""
    large: Any = ()
    """A pytree of results that stay on the device if they need not be joined or trimmed."""


def checked_maps(head: HybridHead, maps: Any) -> Any:
    """Check the type and shape of feature maps and return them as an array, ``(B, h, w, K)``.

    The values are neither converted nor checked here, because the array may be memory-mapped; :func:`batched` does both
    for each batch.

    Raises:
        InputError: the array is masked, its values are not real numbers, or its shape is not ``(B, h, w, K)``.
    """
    expected = head.in_shape
    warn_about_axis_order(head, stacklevel=4)
    check_device()
    if isinstance(maps, np.ma.MaskedArray):
        raise InputError("maps must not be a masked array, because the mask would be ignored; fill it first.")
    try:
        maps = unwrapped(maps)
        maps = maps if isinstance(maps, jax.Array) else np.asarray(maps)
    except Exception as error:  # the conversion of the user's object may raise anything
        raise InputError(
            f"maps must be one array of shape (B, {', '.join(map(str, expected))}); got a {type(maps).__name__} that "
            f"NumPy cannot convert to an array ({one_line(error)})."
        ) from error
    real = any(jnp.issubdtype(maps.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_))
    if not real or maps.dtype.kind == "m":  # to NumPy, a duration is an integer
        raise InputError(f"maps must be real numbers; got the dtype {maps.dtype}.")
    if maps.shape[1:] != expected or maps.ndim == 0 or maps.shape[0] == 0:
        hint = "; for one image write maps[None]" if maps.shape == expected else ""
        if len(expected) == 3 and maps.shape[1:] == (expected[2], *expected[:2]):
            hint = "; the channels are first, so use maps_from_torch"
        raise InputError(
            f"maps must have shape (B, {', '.join(map(str, expected))}), a batch with channels last; got {maps.shape}"
            f"{hint}."
        )
    return maps


def check_not_traced(name: str, head: HybridHead, maps: Any) -> None:
    """Check that neither the head nor the maps are being traced; ``name`` is the name of the calling function.

    Raises:
        InputError: a tracer was given.
    """
    if any(isinstance(value, Tracer) for value in (maps, *jax.tree.leaves(head))):
        raise _traced_error(name)


def _traced_error(name: str) -> InputError:
    single = f", or transform pcacam_jax.cam.{name}.{name}_example, which takes one example"
    return InputError(
        f"{name} cannot run inside jax.jit, jax.vmap or jax.grad, because it reads its checks on the host; call it "
        f"outside of them{single if name in WITH_ONE_EXAMPLE else ''}."
    )


def all_finite(array: Float[Array, "B ..."], axes: int = 1) -> Bool[Array, "..."]:
    """Return for each index of the first ``axes`` axes whether all values of an array are finite."""
    return jnp.isfinite(array).all(axis=tuple(range(axes, array.ndim)))


def check_explained(targets: Sequence[str], finite: Bool[np.ndarray, "B T"], dtype: Any) -> None:
    """Check that values and heatmaps are finite; they may not be although the feature maps are.

    Raises:
        InputError: a result is NaN or infinite; the message names the first example and its first target.
    """
    if finite.all():
        return
    b, t = map(int, np.argwhere(~finite)[0])
    raise InputError(
        f"the value and map of {targets[t]} must be finite, but at example {b} they are not: an estimator of this head "
        f"is not defined there (a power of a negative number, a logarithm of 0) or the numbers are too large for "
        f"{dtype}; leave that example out, or fit estimators that are defined there."
    )


def checked_batch_size(batch_size: int | None, default: int) -> int:
    """Return the largest number of examples per batch; if ``batch_size`` is None, a power of two up to ``default``.

    Raises:
        InputError: ``batch_size`` is not an integer of at least 1.
    """
    if batch_size is None:
        return 1 << (max(default, 1).bit_length() - 1)
    return checked_count("batch_size", batch_size)


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
        raise InputError(f"{name} must be an integer of at least 1; got {shown(value)}.")
    return number


def in_dtype(dtype: Any) -> Callable[[Array], Array]:
    """Return a function that converts floating-point arrays to ``dtype`` and returns other arrays unchanged."""
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    return lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def padded_size(count: int, limit: int) -> int:
    """Return the size to which a batch of ``count`` examples is padded: the next power of two, but at most ``limit``.

    A function is then compiled for few sizes, whatever the numbers of examples.
    """
    return min(1 << (count - 1).bit_length(), limit)


def batched(
    function: Callable[[Any], Batch],
    maps: Any,
    size: int,
    dtype: Any,
    *,
    name: str = "explain",
    read: Callable[[Any, slice], Any] = operator.getitem,
) -> tuple[Any, Any]:
    """Apply a compiled function of a batch to all maps and join the results.

    Args:
        function: a compiled function from maps ``(b, h, w, K)`` to a :class:`Batch`; each row of a result must depend
            on its own example only.
        maps: ``(B, h, w, K)``, in memory or memory-mapped.
        size: the largest number of examples per batch. Smaller batches are padded to :func:`padded_size`.
        dtype: the dtype of the batches.
        name: the name of the calling function, for an error message.
        read: a function that returns the rows of a NumPy array in a slice.

    Returns:
        The small results as NumPy arrays and the large ones as JAX arrays, with first axes of length B.

    Raises:
        InputError: a value of ``maps`` is NaN, infinite or too large for ``dtype``, or the call is being traced.
    """
    whole = len(maps) == padded_size(len(maps), size)
    source = _Source(maps if whole else _on_host(maps), dtype, read)
    started, finished = [], []
    for start in range(0, len(maps), size):
        rows = slice(start, min(start + size, len(maps)))
        result = function(source.batch(rows, padded_size(rows.stop - start, size)))
        if isinstance(result.usable, Tracer):
            raise _traced_error(name)
        # The results of a batch are read when the next one has started, so that the device does not wait for the host.
        finished += [source.finished(*batch, whole) for batch in started]
        started = [(rows, result)]
    finished += [source.finished(*batch, whole) for batch in started]
    small = jax.tree.map(lambda *parts: np.concatenate(parts), *(small for small, _ in finished))
    if whole:
        return small, result.large
    large = jax.tree.map(lambda *parts: np.concatenate(parts), *(large for _, large in finished))
    return small, jax.device_put(large, result.usable.sharding if result.usable.committed else None)


def batched_beside(
    function: Callable[..., Batch], maps: Any, beside: dict[str, np.ndarray], size: int, dtype: Any, *, name: str
) -> Any:
    """Apply a compiled function of a batch and of the same rows of further arrays, and join the small results.

    Args:
        function: a compiled function ``(maps, **beside) -> Batch``.
        maps: ``(B, *space, K)``.
        beside: the further arrays by name, each with a first axis of length B.
        size: the largest number of examples per batch.
        dtype: the dtype of the batches.
        name: the name of the calling function, for an error message.
    """
    parts = []
    for start in range(0, len(maps), size):
        rows = slice(start, min(start + size, len(maps)))
        with_rows = functools.partial(function, **{key: array[rows] for key, array in beside.items()})
        parts.append(batched(with_rows, maps[rows], rows.stop - rows.start, dtype, name=name)[0])
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def _on_host(maps: Any) -> Any:
    """Return an array of the CPU as a NumPy array that shares its memory, because slices of it need no compilation."""
    if isinstance(maps, jax.Array) and not maps.committed and jax.default_backend() == "cpu":
        return np.asarray(maps)
    return maps


class _Source(NamedTuple):
    """Feature maps, from which batches are prepared."""

    maps: Any
    dtype: Any
    read: Callable[[Any, slice], Any]

    def batch(self, rows: slice, size: int) -> Any:
        """Return the rows in the dtype of the batches, with the last one repeated up to ``size`` rows."""
        count = rows.stop - rows.start
        if isinstance(self.maps, jax.Array):
            ready = len(self.maps) == size and self.maps.dtype == self.dtype
            return self.maps if ready else _rows(self.maps, rows.start, size=size, dtype=self.dtype)
        part = self.read(self.maps, rows)
        with np.errstate(over="ignore"):
            if count == size:
                return np.asarray(part, self.dtype)
            batch = np.empty((size, *part.shape[1:]), self.dtype)
            batch[:count], batch[count:] = part, part[-1:]
            return batch

    def finished(self, rows: slice, result: Batch, stays: bool) -> tuple[Any, Any]:
        """Read the results of the rows without padding; ``stays`` says that the large ones stay on the device.

        Raises:
            InputError: a value of the rows is not finite.
        """
        count = rows.stop - rows.start
        usable, small, large = jax.device_get(result._replace(large=()) if stays else result)
        if not usable[:count].all():
            values = np.asarray(self.batch(rows, count))
            check_finite(f"maps[{rows.start}:{rows.stop}]" if rows.start else "maps", values)
        return jax.tree.map(lambda array: array[:count], (small, large))


@functools.partial(jax.jit, static_argnames=("size", "dtype"))
def _rows(maps: Array, start: Any, *, size: int, dtype: Any) -> Array:
    return maps[jnp.minimum(start + jnp.arange(size), len(maps) - 1)].astype(dtype)

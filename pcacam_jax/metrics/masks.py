"""Checks of heatmaps and masks, the order of the cells of a map, and the values of a target under masks.

A mask says how much of each cell is kept: 1 keeps the cell, and 0 replaces it by the baseline.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Shaped

from pcacam_jax.core.arrays import real_array, unwrapped
from pcacam_jax.core.checks import InputError, check_finite, check_items
from pcacam_jax.core.text import shown
from pcacam_jax.core.types import Scalar

Heatmap = Float[Array, "*space"]
Mask = Float[Array, "*space"]
Value = Callable[[Mask], Scalar]
"""The value of a target if only the cells that a mask keeps are left."""
MOST_AXES = 3


def heatmap_array(heatmap: Any) -> Heatmap:
    """Return a heatmap as floats.

    Raises:
        InputError: it does not hold finite real numbers, it has no cells, or it does not have one to three axes.
    """
    heatmap = float_array("heatmap", heatmap)
    if not 1 <= heatmap.ndim <= MOST_AXES or heatmap.size == 0:
        raise InputError(
            f"heatmap must be one map with one to three axes and at least one cell; got the shape {heatmap.shape}; "
            f"write jax.vmap for a batch."
        )
    return heatmap


def float_array(name: str, values: Any) -> Float[Array, "..."]:
    """Return finite real numbers as a JAX array of floats, in the dtype that JAX gives them.

    Raises:
        InputError: the values are not finite real numbers.
    """
    array = real_array(name, values, finite=False)
    dtype = array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else float
    # jnp.asarray alone may keep the float64 of a NumPy array inside a trace although x64 is disabled.
    with np.errstate(over="ignore"):
        array = array.astype(jax.dtypes.canonicalize_dtype(dtype))
    check_finite(name, array)
    return jnp.asarray(array)


def mask_array(mask: Any, dtype: Any) -> Float[Array, "..."]:
    """Return masks of booleans or of numbers in 0..1 as floats.

    Raises:
        InputError: a value is not a real number in 0..1; traced values pass, because they are not known yet.
    """
    mask = unwrapped(mask)
    if isinstance(mask, jax.Array | np.ndarray) and mask.dtype == bool:
        mask = mask.astype(dtype)
    mask = real_array("mask", mask)
    if not isinstance(mask, Tracer) and mask.size:
        least, most = np.min(np.asarray(mask)), np.max(np.asarray(mask))
        if least < 0 or most > 1:
            raise InputError(f"mask must hold values in 0..1; got {least:g} to {most:g}; divide it by its maximum.")
    return jnp.asarray(mask, dtype)


def check_same_shape(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> None:
    """Check that an array has the shape of another one.

    Raises:
        InputError: it has not.
    """
    if shape != expected:
        raise InputError(f"{name} must have the shape of the {other}, {expected}; got {shape}; resize the {name}.")


def check_positive(name: str, value: Any, *, zero: bool = False) -> Any:
    """Return a finite number above 0, or of at least 0 if ``zero``; traced scalars pass, as they are not known yet.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, jax.Array) and value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.number):
        if isinstance(value, Tracer):
            return value
        value = np.asarray(value)[()]
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not (value > 0 or (zero and value == 0)) or not math.isfinite(value):
        raise InputError(f"{name} must be a number {'of at least 0' if zero else 'above 0'}; got {shown(value)}.")
    return float(value)


def check_count(name: str, count: Any, most: int | None = None) -> int:
    """Return an integer of at least 1, and at most ``most`` if it is given.

    Raises:
        InputError: it is not.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1 or (most and count > most):
        limits = f"from 1 to {most}" if most else "of at least 1"
        raise InputError(f"{name} must be an integer {limits}; got {shown(count)}.")
    return int(count)


def check_fraction(name: str, fraction: Any) -> float:
    """Return a number in 0..1.

    Raises:
        InputError: it is not.
    """
    real = isinstance(fraction, int | float | np.integer | np.floating) and not isinstance(fraction, bool)
    if not real or not 0 <= fraction <= 1:
        raise InputError(f"{name} must be a number in 0..1; got {shown(fraction)}.")
    return float(fraction)


def check_space(space: Any) -> tuple[int, ...]:
    """Return the shape of a map: one to three integers of at least 1.

    Raises:
        InputError: it is not.
    """
    sizes = check_items("space", space, "a shape such as (14, 14)")
    if not 1 <= len(sizes) <= MOST_AXES:
        raise InputError(f"space must have one to three axes; got {shown(space)}.")
    return tuple(check_count("each size of space", size) for size in sizes)


def cell_counts(fractions: Any, cells: int) -> Int[np.ndarray, " n"]:
    """Return the number of cells for each fraction: the nearest integer, but at least 1 for a fraction above 0.

    Raises:
        InputError: there are no fractions, or one of them lies outside 0..1.
    """
    items = check_items("fractions", fractions, "a sequence of numbers in 0..1")
    shares = [check_fraction("each of fractions", item) for item in items]
    if not shares:
        raise InputError("fractions must hold at least one number in 0..1; got none.")
    return np.array([max(int(share * cells + 0.5), share > 0) for share in shares])


def cell_ranks(heatmap: Heatmap) -> Int[Array, "*space"]:
    """Return the rank of every cell in descending order, from 0; of equal cells, the first has the lowest index."""
    order = jnp.argsort(-heatmap.reshape(-1), stable=True)
    return jnp.zeros_like(order).at[order].set(jnp.arange(heatmap.size)).reshape(heatmap.shape)


def values_of(
    value: Value, count: int, mask_of: Callable[[Int[Array, ""]], Mask | Bool[Array, "*space"]], batch_size: int
) -> Float[Array, " n"]:
    """Return the values for the masks ``mask_of(0), ..., mask_of(count - 1)``, computed in batches.

    Raises:
        InputError: ``value`` is not a function that returns scalars, or ``batch_size`` is less than 1.
    """
    if not callable(value):
        raise InputError(f"the target must be a function that returns a scalar; got {shown(value)}.")
    values = in_batches(lambda index: value(mask_of(index)), jnp.arange(count), batch_size)
    if getattr(values, "ndim", None) != 1:
        got = f"the shape {values.shape[1:]}" if hasattr(values, "shape") else type(values).__name__
        raise InputError(f"the function of the target must return a scalar; got {got}.")
    return values


def in_batches(function: Callable[[Array], Any], examples: Shaped[Array, "n ..."], batch_size: int) -> Any:
    """Return the results of a function of one example for all examples, of which ``batch_size`` are computed together.

    The batches have one size, so that the function is compiled once; the last example fills the last batch.

    Raises:
        InputError: ``batch_size`` is less than 1.
    """
    count = len(examples)
    batches = -(-count // check_count("batch_size", batch_size))
    if batches == 1:
        return jax.vmap(function)(examples)
    size = -(-count // batches)
    filled = examples[jnp.minimum(jnp.arange(batches * size), count - 1)]
    return jax.tree.map(lambda results: results[:count], jax.lax.map(function, filled, batch_size=size))

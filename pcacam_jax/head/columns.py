"""Further columns of SVMs that read more than the components, such as clinical values, held fixed for each example."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.arrays import as_numpy
from pcacam_jax.core.checks import InputError, check_finite
from pcacam_jax.head.batches import checked_maps
from pcacam_jax.head.hybrid import HybridHead


def check_columns(head: HybridHead, columns: Any) -> None:
    """Check that columns are given if and only if the head needs them.

    Raises:
        InputError: they are missing or superfluous.
    """
    if head.columns and columns is None:
        raise InputError(
            f"an SVM of this head reads {head.columns} further columns behind the components; give them as columns=, "
            f"an array of shape (B, {head.columns})."
        )
    if not head.columns and columns is not None:
        raise InputError("columns are given, but no SVM of this head reads further columns; leave them out.")


def with_each_row(function: Callable[[HybridHead, Any], Any], head: HybridHead, maps: Any, columns: Any) -> Any:
    """Apply a function to the examples with equal columns, and join the results in the order of the examples.

    Args:
        function: a function of a head without further columns and of maps, whose result is a dataclass or a dictionary.
            Its arrays have one row per example.
        head: a head with further columns.
        maps: ``(B, h, w, K)``.
        columns: ``(B, c)``.

    Raises:
        InputError: the columns are not finite numbers of this shape.
    """
    maps = checked_maps(head, maps)
    values = as_numpy("columns", columns)
    if values.shape != (len(maps), head.columns):
        raise InputError(
            f"columns must have shape ({len(maps)}, {head.columns}), one row for each example; got {values.shape}."
        )
    check_finite("maps", maps)  # before the division into groups, in which examples have other numbers
    distinct, which = np.unique(values, axis=0, return_inverse=True)
    groups = [np.flatnonzero(which.ravel() == n) for n in range(len(distinct))]
    results = [
        function(head.with_columns(row), maps if len(groups) == 1 else maps[rows])
        for row, rows in zip(distinct, groups, strict=True)
    ]
    order = np.argsort(np.concatenate(groups))
    if isinstance(results[0], dict):
        return _joined(results, order)
    fields = {field.name: _joined([getattr(r, field.name) for r in results], order) for field in _fields(results[0])}
    return dataclasses.replace(results[0], **fields)


def _fields(result: Any) -> list[dataclasses.Field]:
    arrays = (np.ndarray, jax.Array, dict)
    return [field for field in dataclasses.fields(result) if isinstance(getattr(result, field.name), arrays)]


def _joined(parts: list[Any], order: np.ndarray) -> Any:
    if isinstance(parts[0], dict):
        return {key: _joined([part[key] for part in parts], order) for key in parts[0]}
    joined = np.concatenate([np.asarray(part) for part in parts])[order]
    return jnp.asarray(joined) if isinstance(parts[0], jax.Array) else joined

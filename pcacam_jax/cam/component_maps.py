"""Maps of rows on the SVMs' input, by the methods whose maps are linear in the gradient (Eq. 10).

The map of a decision is then a sum over the entries of any vector on the way to it: ``L = sum_q (ds/dz_q) L_q``.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.methods import METHODS, as_method
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Maps, Rows
from pcacam_jax.head.hybrid import HeadResiduals, HybridHead
from pcacam_jax.head.targets import Target

LARGEST_BATCH = 256
BLOCK_FLOATS = 2**20
"""Largest number of floats in the rows, or in their gradients, that are pulled back at once for one example."""
BATCH_FLOATS = 2**24
"""Number of floats that a batch of the default size may need in addition to its maps."""


def linear_method(name: str, method: str | Method, head: HybridHead, target: Target) -> Method:
    """Return a method whose maps are linear in the gradient; ``name`` is the name of the calling function.

    Raises:
        InputError: the method is unknown, is not linear in the gradient, or has no map of the target.
    """
    chosen = as_method(method)
    if chosen.linear != "gradient":
        known = ", ".join(entry.name for entry in METHODS.values() if entry.linear == "gradient")
        raise InputError(
            f"{name} needs a method whose map is linear in the gradient ({known}), because only such a map is the sum "
            f"of the maps of its parts; got {chosen.name!r}."
        )
    if chosen.check is not None:
        chosen.check(head, (target,))
    return chosen


def without_svms(head: HybridHead) -> HybridHead:
    """Return the head without its SVMs, so that their outputs are not computed."""
    names = tuple((output, entries) for output, entries in head.names if output not in head.svms)
    return dataclasses.replace(head, svms={}, names=names)


class _Rows(Example):
    """An example whose targets are rows on the SVMs' input instead of entries of outputs, in closed form."""

    def __init__(self, head: HybridHead, saved: HeadResiduals, rows: Rows, maps: Maps) -> None:
        self.head, self.saved, self.maps = head, saved, maps
        self._on_trunk = rows if head.pca is None else head.pca.pull_back(saved.pca, rows)

    @functools.cached_property
    def gradient(self) -> Float[Array, "T *space K"]:
        return self.head.trunk.pull_back(self.saved.trunk, self._on_trunk)

    @functools.cached_property
    def pooled_gradient(self) -> Float[Array, "T K"]:
        return self.head.pull_trunk_back_pooled(self.saved, self._on_trunk)


def maps_of_rows(
    head: HybridHead, saved: HeadResiduals, rows: Rows, maps: Maps, method: Method
) -> Float[Array, "T *space"]:
    """Return the signed map of each row at the SVMs' input, linear in the row: ``(T, D) -> (T, h, w)`` (Eq. 10)."""
    return method.function(_Rows(head, saved, rows, maps), 1).heatmap


def maps_of_entries(
    head: HybridHead, saved: HeadResiduals, size: int, pull_back: Callable[[Rows], Rows], maps: Maps, method: Method
) -> Float[Array, "size *space"]:
    """Return the signed map of each entry of a vector; ``pull_back`` converts rows on it to rows on the SVMs' input.

    Unit rows are formed in blocks, because the vector may be as long as the flattened maps.
    """

    def map_of(index: Array) -> Float[Array, "*space"]:
        row = jax.nn.one_hot(index, size, dtype=head.dtype)
        return maps_of_rows(head, saved, pull_back(row[None]), maps, method)[0]

    return jax.lax.map(map_of, jnp.arange(size), batch_size=_block(head, size, method))


def _block(head: HybridHead, size: int, method: Method) -> int:
    """Return the number of unit rows of length ``size`` that are pulled back at once."""
    gradient = 0 if method.pooled else math.prod(head.in_shape)
    return max(1, min(size, BLOCK_FLOATS // max(size, gradient)))


def examples_per_batch(head: HybridHead, rows: int, method: Method, other: int = 0) -> int:
    """Return the default batch size if ``rows`` rows are pulled back through the head for each example.

    ``other`` is a number of floats per example that are needed elsewhere.
    """
    *space, channels = head.in_shape
    widest = max((leaf.shape[-1] for leaf in jax.tree.leaves(head.dense)), default=0)
    gradients = 0 if method.pooled else _block(head, rows, method) * math.prod(head.in_shape)
    floats = max(rows * (math.prod(space) + channels + widest), gradients, other)
    return min(max(BATCH_FLOATS // floats, 1), LARGEST_BATCH)

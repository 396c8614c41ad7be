"""A head split at its first affine map: u = kernel^T (x_0 - center) + offset, and a head that reads u.

Without a max-pool, u is affine in the feature maps. Leaving out a map or a position changes u by one row of a product
that is computed once, and the rest of the head is small.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Maps, Rows, Stage, Vector
from pcacam_jax.head.axis_order import mark_like
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages.activation import Elementwise
from pcacam_jax.stages.affine import Affine
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.flatten import MaxPool
from pcacam_jax.stages.take import Take


class Entry(NamedTuple):
    """The part of a head up to its first affine map, and the rest."""

    spatial: Chain
    """From the maps to ``x_0``, ``(*space, K) -> (d_0,)``."""
    kernel: Float[Array, "d_0 d"] | None
    """The kernel of the first dense layer, ``(d_0, d_1)``. Without dense layers before ``x_m``, the kernels of all
    affine maps that read ``x_0``, such as the PCA's, side by side. None stands for the identity matrix: ``u = x_0``."""
    center: Float[Array, " d_0"] | None
    """What is subtracted from ``x_0``, such as the mean of a PCA; None stands for 0."""
    offset: Float[Array, " d"] | None
    """The constant of the affine map; None stands for 0."""
    rest: HybridHead
    """A head that reads u, ``(d,)``, and has the same outputs."""

    def __call__(self, maps: Maps) -> Vector:
        """Return u."""
        return self.affine(self.spatial(maps))

    def affine(self, x_0: Float[Array, "*n d_0"]) -> Float[Array, "*n d"]:
        """Return ``kernel^T (x_0 - center) + offset`` of one or more vectors."""
        if self.kernel is None or self.offset is None:
            return x_0
        return matmul(x_0 if self.center is None else x_0 - self.center, self.kernel) + self.offset

    def linear(self, x_0: Float[Array, "*n d_0"]) -> Float[Array, "*n d"]:
        """Return ``kernel^T x_0``, the change of u for a change ``x_0`` of the vector."""
        return x_0 if self.kernel is None else matmul(x_0, self.kernel)

    def pull_back(self, maps: Maps, rows: Rows) -> Rows:
        """Multiply rows on u by the Jacobian of u in the maps: ``(T, d) -> (T, *space, K)``."""
        _, saved = self.spatial.forward(maps)
        return self.spatial.pull_back(saved, rows if self.kernel is None else matmul(rows, self.kernel.T))

    def channel_parts(self, maps: Maps) -> Float[Array, "K d"]:
        """Return the part of u that comes from each map: ``kernel^T x_0`` with all other maps set to zero."""
        *pools, last = self.spatial.stages
        for pool in pools:
            maps = pool(maps)
        channels = maps.shape[-1]
        if self.kernel is None:
            alone = maps[None] * jnp.eye(channels, dtype=maps.dtype).reshape(channels, *[1] * (maps.ndim - 1), channels)
            return jnp.stack([last(one) for one in alone])
        _, saved = last.forward(maps)
        # The rows of the kernel as maps: (d, *space, K).
        kernels = last.pull_back(saved, self.kernel.T)
        return jnp.einsum("d...k,...k->kd", kernels, maps, precision="highest")

    def position_parts(self, maps: Maps) -> Float[Array, "*space d"]:
        """Return the part of u that comes from each position of the maps.

        It is defined without a max-pool, behind which the parts do not add up.
        """
        (last,) = self.spatial.stages
        space = maps.shape[:-1]
        _, saved = last.forward(maps)
        if self.kernel is None:
            positions = jnp.eye(maps[..., 0].size, dtype=maps.dtype).reshape(-1, *space, 1)
            return jnp.stack([last(maps * one) for one in positions]).reshape(*space, -1)
        kernels = last.pull_back(saved, self.kernel.T)
        return jnp.einsum("d...k,...k->...d", kernels, maps, precision="highest")

    @property
    def has_max_pool(self) -> bool:
        """Whether a max-pool lies between the maps and u."""
        return any(isinstance(stage, MaxPool) for stage in self.spatial.stages)


def split_entry(head: HybridHead) -> Entry:
    """Split a head at its first affine map.

    Args:
        head: the head. All stages that read ``x_0`` must begin with a dense layer or an affine map, or u is ``x_0``.
    """
    if head.dense.stages:
        first, *later = head.dense.stages
        if isinstance(first, Dense):
            size = len(first.bias)
            dense = (Elementwise(first.activation, size), *later)
            return Entry(head.spatial, first.kernel, None, first.bias, _rest(head, size, dense=Chain(dense)))
        return Entry(head.spatial, None, None, None, _rest(head, first.in_shape[0], dense=head.dense))
    return _split_readers(head)


def _split_readers(head: HybridHead) -> Entry:
    """Split a head whose logits, PCA or SVMs read ``x_0`` itself: their first affine maps become one."""
    readers: dict[str, Any] = {"cnn": head.cnn, "pca": head.pca} if head.pca is not None else {"cnn": head.cnn}
    readers = {name: stage for name, stage in readers.items() if stage is not None}
    peeled = {name: _peeled(stage) for name, stage in readers.items()}
    if (head.pca is None and head.svms) or None in peeled.values():
        (size,) = {stage.in_shape[0] for stage in (*readers.values(), *head.svms.values())}
        return Entry(head.spatial, None, None, None, _rest(head, size))
    parts = {name: part for name, part in peeled.items() if part is not None}
    kernel = jnp.concatenate([part.kernel for part in parts.values()], axis=1)
    centers = [part.center for part in parts.values() if part.center is not None]
    center = centers[0] if centers else None
    offset = jnp.concatenate([part.offset_from(center) for part in parts.values()])
    changed, start = {}, 0
    for name, part in parts.items():
        taken = Take(tuple(range(start, start + len(part.offset))), len(offset))
        changed[name] = Chain((taken, *part.rest))
        start += len(part.offset)
    return Entry(head.spatial, kernel, center, offset, _rest(head, len(offset), **changed))


class _Peeled(NamedTuple):
    kernel: Float[Array, "d_0 d"]
    center: Float[Array, " d_0"] | None
    offset: Float[Array, " d"]
    rest: tuple[Stage, ...]

    def offset_from(self, center: Float[Array, " d_0"] | None) -> Float[Array, " d"]:
        """Return the offset of the same map with another center."""
        return self.offset if center is self.center or center is None else self.offset + matmul(center, self.kernel)


def _peeled(stage: Stage) -> _Peeled | None:
    """Return the first affine map of a stage and what follows; None if the stage does not begin with one."""
    if isinstance(stage, Chain):
        first, *later = stage.stages
        peeled = _peeled(first)
        return None if peeled is None else peeled._replace(rest=(*peeled.rest, *later))
    if isinstance(stage, Dense):
        return _Peeled(stage.kernel, None, stage.bias, (Elementwise(stage.activation, len(stage.bias)),))
    if isinstance(stage, Affine):
        return _Peeled(stage.matrix.T, stage.center, stage.offset, ())
    return None


def _rest(head: HybridHead, size: int, **changed: Any) -> HybridHead:
    spatial = Chain((Elementwise("identity", size),))
    return mark_like(dataclasses.replace(head, spatial=spatial, **changed), head)

"""Stages that act on feature maps: flattening, global average pooling and max-pooling with windows of 2.

Maps are ``(h, w, K)``, channels last, or ``(*space, K)`` with one, two or three axes of space. Only this module knows
the order of flattening: entry ``(i, j, k)`` of the maps is entry ``(i w + j) K + k`` of the vector, or entry
``(k h + i) w + j`` with the order ``"channels_first"``, which is PyTorch's and the paper's (Eq. 1-2).
"""

import math
from typing import Literal, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_choice, check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Maps, Rows, Vector
from pcacam_jax.stages.linear import PiecewiseLinear

MapsShape = tuple[int, int] | tuple[int, int, int] | tuple[int, int, int, int]
"""The shape of maps, ``(*space, K)``."""

ORDERS = ("channels_last", "channels_first")
"""The orders of flattening: all channels of one position after another, or all positions of one channel."""


@pytree
class Flatten(PiecewiseLinear):
    """Flattening of feature maps, ``(h, w, K) -> (h w K,)`` (Eq. 1-2); the Jacobian is a permutation matrix.

    Args:
        shape: ``(h, w, K)``, or ``(*space, K)`` with one to three axes of space.
        order: ``"channels_last"``, or ``"channels_first"`` for PyTorch's order: all positions of the first channel
            come first. The maps themselves have their channels last in both cases.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Flatten
        >>> maps = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])
        >>> Flatten((1, 2, 2))(maps).tolist(), Flatten((1, 2, 2), "channels_first")(maps).tolist()
        ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0])
    """

    shape: MapsShape = static()
    order: Literal["channels_last", "channels_first"] = static(default="channels_last")

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(h, w, K)``."""
        return self.shape

    @property
    def channels_first(self) -> bool:
        """Whether all positions of the first channel come first."""
        return check_choice("order", self.order, ORDERS) == "channels_first"

    def __call__(self, maps: Maps) -> Vector:
        """Return ``x_0``, Eq. 2."""
        check_shape("maps", maps.shape, self.in_shape)
        return jnp.moveaxis(maps, -1, 0).reshape(-1) if self.channels_first else maps.reshape(-1)

    def forward(self, maps: Maps) -> tuple[Vector, Vector]:
        """Return ``x_0`` twice; the derivative uses only its dtype."""
        x_0 = self(maps)
        return x_0, x_0

    def pull_back(self, x_0: Vector, rows: Rows) -> Rows:
        """Reshape the rows to maps: ``(T, h w K) -> (T, h, w, K)``."""
        if self.channels_first:
            *space, channels = self.shape
            return jnp.moveaxis(rows.reshape(-1, channels, *space), 1, -1)
        return rows.reshape(-1, *self.shape)

    def summed(self, rows: Rows) -> Float[Array, "T K"]:
        """Return the rows, pulled back to maps, summed over the positions: ``(T, h w K) -> (T, K)``."""
        channels = self.shape[-1]
        if self.channels_first:
            return rows.reshape(len(rows), channels, -1).sum(axis=2)
        return rows.reshape(len(rows), -1, channels).sum(axis=1)

    def jacobian(self, x_0: Vector) -> Float[Array, "hwK h w K"]:
        """Return the permutation matrix with shape ``(h w K, h, w, K)``; in the order of the maps, the identity."""
        return self.pull_back(x_0, jnp.eye(len(x_0), dtype=x_0.dtype))


@pytree
class GlobalAverage(PiecewiseLinear):
    """The mean of each map over its positions, ``(h, w, K) -> (K,)``; its derivative is ``1 / (h w)`` at each position.

    Args:
        shape: ``(h, w, K)``, or ``(*space, K)`` with one to three axes of space.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import GlobalAverage
        >>> GlobalAverage((1, 2, 2))(jnp.array([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
        [2.0, 3.0]
    """

    shape: MapsShape = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(h, w, K)``."""
        return self.shape

    def __call__(self, maps: Maps) -> Vector:
        """Return the means."""
        check_shape("maps", maps.shape, self.in_shape)
        return jnp.mean(maps, axis=tuple(range(maps.ndim - 1)))

    def forward(self, maps: Maps) -> tuple[Vector, Vector]:
        """Return the means twice; the derivative uses only their dtype."""
        means = self(maps)
        return means, means

    def pull_back(self, means: Vector, rows: Rows) -> Rows:
        """Divide the rows by ``h w`` and repeat them at each position: ``(T, K) -> (T, h, w, K)``."""
        *space, channels = self.shape
        rows = rows.reshape(len(rows), *[1] * len(space), channels)
        return jnp.broadcast_to(rows / math.prod(space), (len(rows), *self.shape))

    def jacobian(self, means: Vector) -> Float[Array, "K h w K"]:
        """Return ``1 / (h w)`` where the mean and the entry belong to the same map, 0 elsewhere."""
        return self.pull_back(means, jnp.eye(len(means), dtype=means.dtype))


@pytree
class MaxPool(PiecewiseLinear):
    """2 x 2 max-pooling with stride 2, ``(h, w, K) -> (h // 2, w // 2, K)``; a last odd row or column is dropped.

    With another number of axes of space, the windows have two entries along each of them.

    The derivative is routed to the maximum of each window. Among equal maxima it is routed to the first one in
    row-major order, as in JAX, TensorFlow and PyTorch.

    Args:
        shape: ``(h, w, K)``, or ``(*space, K)`` with one to three axes of space.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import MaxPool
        >>> MaxPool((2, 2, 1))(jnp.array([[[1.0], [4.0]], [[2.0], [3.0]]])).tolist()
        [[[4.0]]]
    """

    shape: MapsShape = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(h, w, K)``."""
        return self.shape

    @property
    def out_shape(self) -> MapsShape:
        """``(h // 2, w // 2, K)``."""
        return cast(MapsShape, (*(size // 2 for size in self.shape[:-1]), self.shape[-1]))

    def __call__(self, maps: Maps) -> Maps:
        """Return the pooled maps."""
        check_shape("maps", maps.shape, self.in_shape)
        window = (*[2] * self._rank, 1)
        return jax.lax.reduce_window(maps, -jnp.inf, jax.lax.max, window, window, "VALID")

    def forward(self, maps: Maps) -> tuple[Maps, Float[Array, "*pooled K entries"]]:
        """Return the pooled maps and a one-hot array that marks the maximum among the entries of each window."""
        winner = jnp.argmax(self._windows(maps), axis=-1)
        return self(maps), jax.nn.one_hot(winner, 2**self._rank, dtype=maps.dtype)

    def pull_back(self, winner: Float[Array, "*pooled K entries"], rows: Rows) -> Rows:
        """Place the rows at the maxima of their windows, 0 elsewhere: ``(T, h//2, w//2, K) -> (T, h, w, K)``."""
        rank, (*space, channels) = self._rank, self.out_shape
        routed = (rows[..., None] * winner[None]).reshape(-1, *self.out_shape, *[2] * rank)
        interleaved = [axis for i in range(rank) for axis in (1 + i, 2 + rank + i)]
        routed = routed.transpose(0, *interleaved, 1 + rank).reshape(-1, *(2 * size for size in space), channels)
        odd = [(0, size % 2) for size in self.shape[:-1]]
        return jnp.pad(routed, ((0, 0), *odd, (0, 0)))

    def jacobian(self, winner: Float[Array, "*pooled K entries"]) -> Array:
        """Return 1 where an entry is the maximum of its window, 0 elsewhere, ``(*pooled, K, *space, K)``."""
        identity = jnp.eye(math.prod(self.out_shape), dtype=winner.dtype).reshape(-1, *self.out_shape)
        return self.pull_back(winner, identity).reshape(*self.out_shape, *self.shape)

    @property
    def _rank(self) -> int:
        """The number of axes of space."""
        return len(self.shape) - 1

    def _windows(self, maps: Maps) -> Float[Array, "*pooled K entries"]:
        rank, (*space, channels) = self._rank, self.out_shape
        even = maps[tuple(slice(2 * size) for size in space)]
        split = even.reshape(*(part for size in space for part in (size, 2)), channels)
        inner = [2 * axis + 1 for axis in range(rank)]
        return split.transpose(*[2 * axis for axis in range(rank)], 2 * rank, *inner).reshape(*self.out_shape, -1)


def spatial_mean(kernel: Float[Array, "hwK d"], flatten: Flatten, tap_shape: tuple[int, ...]) -> Float[Array, "K d"]:
    """Return the mean of a dense kernel over the positions of the feature maps, for the channel weights of Eq. 9-10.

    ``rows @ spatial_mean(...).T`` is the mean over positions of the derivative with respect to the tapped maps, at
    ``h w`` times less work than the full derivative. If the shapes differ, a max-pool lies between. It routes each
    entry to exactly one position, so the sum over positions is the same.

    Args:
        kernel: the kernel of the first dense layer, which reads flattened maps, ``(h w K, d)``.
        flatten: the flattening of the maps that the kernel reads.
        tap_shape: shape of the maps that are explained.

    Returns:
        The mean kernel, ``(K, d)``.
    """
    channels, size = flatten.shape[-1], kernel.shape[1]
    if flatten.channels_first:
        summed = kernel.reshape(channels, -1, size).sum(axis=1)
    else:
        # On a CPU, XLA computes this product many times faster than a sum over the first axis.
        rows = kernel.reshape(-1, channels * size)
        summed = matmul(jnp.ones(len(rows), kernel.dtype), rows).reshape(channels, size)
    return summed / math.prod(tap_shape[:-1])

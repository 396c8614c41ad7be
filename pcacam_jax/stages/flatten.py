"""From maps to a vector: the one room that knows memory order; 2 x 2 max-pool and global average pool of the maps.

Maps are (h, w, K), channels last, flattened row by row: entry (i, j, k) becomes entry (i w + j) K + k (Eq. 1-2; the
paper stacks map after map, a permutation only).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Maps, Rows, Vector


@pytree
class Flatten:
    """(h, w, K) -> (h w K,); the Jacobian is the identity, reshaped."""

    shape: tuple[int, int, int] = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(h, w, K)."""
        return self.shape

    def __call__(self, maps: Maps) -> Vector:
        """Return x_0, Eq. 2."""
        check_shape("maps", maps.shape, self.in_shape)
        return maps.reshape(-1)

    def forward(self, maps: Maps) -> tuple[Vector, Vector]:
        """Return x_0 twice; the derivative needs its dtype only."""
        x_0 = self(maps)
        return x_0, x_0

    def pull_back(self, x_0: Vector, rows: Rows) -> Rows:
        """Return the rows laid out as maps: (T, h w K) -> (T, h, w, K)."""
        return rows.reshape(-1, *self.shape)

    def jacobian(self, x_0: Vector) -> Float[Array, "hwK h w K"]:
        """Return the identity, laid out as (h w K, h, w, K)."""
        return self.pull_back(x_0, jnp.eye(len(x_0), dtype=x_0.dtype))


@pytree
class GlobalAverage:
    """(h, w, K) -> (K,), the mean of every map over its positions; every entry of a map has derivative 1 / (h w)."""

    shape: tuple[int, int, int] = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(h, w, K)."""
        return self.shape

    def __call__(self, maps: Maps) -> Vector:
        """Return the means."""
        check_shape("maps", maps.shape, self.in_shape)
        return jnp.mean(maps, axis=(0, 1))

    def forward(self, maps: Maps) -> tuple[Vector, Vector]:
        """Return the means twice; the derivative needs their dtype only."""
        means = self(maps)
        return means, means

    def pull_back(self, means: Vector, rows: Rows) -> Rows:
        """Return every row's entries over h w, at every position of their map: (T, K) -> (T, h, w, K)."""
        height, width, _ = self.shape
        return jnp.broadcast_to(rows[:, None, None] / (height * width), (len(rows), *self.shape))

    def jacobian(self, means: Vector) -> Float[Array, "K h w K"]:
        """Return 1 / (h w) where a mean reads its own map, 0 elsewhere."""
        return self.pull_back(means, jnp.eye(len(means), dtype=means.dtype))


@pytree
class MaxPool:
    """(h, w, K) -> (h // 2, w // 2, K), the maximum of each 2 x 2 window; a last odd row or column is dropped.

    A derivative is routed to the window's maximum, the first in row-major order among equals, as JAX, TensorFlow and
    PyTorch route it.
    """

    shape: tuple[int, int, int] = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(h, w, K)."""
        return self.shape

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(h // 2, w // 2, K)."""
        return (self.shape[0] // 2, self.shape[1] // 2, self.shape[2])

    def __call__(self, maps: Maps) -> Maps:
        """Return the pooled maps."""
        check_shape("maps", maps.shape, self.in_shape)
        return jax.lax.reduce_window(maps, -jnp.inf, jax.lax.max, (2, 2, 1), (2, 2, 1), "VALID")

    def forward(self, maps: Maps) -> tuple[Maps, Float[Array, "h2 w2 K 4"]]:
        """Return the pooled maps and, for the four places of each window, 1 at the maximum and 0 elsewhere."""
        return self(maps), jax.nn.one_hot(jnp.argmax(self._windows(maps), axis=-1), 4, dtype=maps.dtype)

    def pull_back(self, winner: Float[Array, "h2 w2 K 4"], rows: Rows) -> Rows:
        """Return each row's entries at their window's maximum, zero elsewhere: (T, h//2, w//2, K) -> (T, h, w, K)."""
        height, width, channels = self.out_shape
        routed = rows[..., None] * winner[None]
        routed = routed.reshape(-1, height, width, channels, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        routed = routed.reshape(-1, 2 * height, 2 * width, channels)
        odd_row, odd_column = self.shape[0] % 2, self.shape[1] % 2
        return jnp.pad(routed, ((0, 0), (0, odd_row), (0, odd_column), (0, 0)))

    def jacobian(self, winner: Float[Array, "h2 w2 K 4"]) -> Float[Array, "h2 w2 K h w K"]:
        """Return the routing as zeros and ones."""
        identity = jnp.eye(math.prod(self.out_shape), dtype=winner.dtype).reshape(-1, *self.out_shape)
        return self.pull_back(winner, identity).reshape(*self.out_shape, *self.shape)

    def _windows(self, maps: Maps) -> Float[Array, "h2 w2 K 4"]:
        height, width, channels = self.out_shape
        even = maps[: 2 * height, : 2 * width]
        return even.reshape(height, 2, width, 2, channels).transpose(0, 2, 4, 1, 3).reshape(*self.out_shape, 4)


def spatial_mean(
    kernel: Float[Array, "hwK d"], shape: tuple[int, ...], tap_shape: tuple[int, ...]
) -> Float[Array, "K d"]:
    """Return the mean over the tap's positions of a dense kernel that reads flattened maps.

    ``rows @ spatial_mean(...).T`` is then mean_ij of the derivative with respect to the maps at the tap (Eq. 9-10),
    for h w times less work than the derivative itself. ``shape`` is what the kernel reads and ``tap_shape`` the tap's;
    where they differ a max-pool lies between, which routes every entry to exactly one position.
    """
    positions = tap_shape[0] * tap_shape[1]
    return kernel.reshape(-1, shape[2], kernel.shape[1]).sum(axis=0) / positions

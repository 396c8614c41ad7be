"""Selection of entries of a vector."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector
from pcacam_jax.stages.linear import PiecewiseLinear


@pytree
class Take(PiecewiseLinear):
    """Selection of entries ``x -> x[indices]``, ``(d,) -> (n,)``; each row of the Jacobian has a single 1.

    Args:
        indices: the n indices, in any order; an index may occur several times.
        size: d.

    Raises:
        InputError: when called, if an index lies outside ``0 .. size - 1``.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Take
        >>> Take((2, 0), size=3)(jnp.array([1.0, 2.0, 3.0])).tolist()
        [3.0, 1.0]
    """

    indices: tuple[int, ...] = static()
    size: int = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.size,)

    def __call__(self, x: Vector) -> Float[Array, " n"]:
        """Return ``x[indices]``."""
        check_shape("x", x.shape, self.in_shape)
        return x[self._checked_indices()]

    def forward(self, x: Vector) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Return ``x[indices]`` twice; the derivative uses only its dtype."""
        taken = self(x)
        return taken, taken

    def pull_back(self, taken: Float[Array, " n"], rows: Rows) -> Rows:
        """Place the rows at the indices and sum where an index occurs several times: ``(T, n) -> (T, d)``."""
        return jnp.zeros((len(rows), self.size), rows.dtype).at[:, self._checked_indices()].add(rows)

    def jacobian(self, taken: Float[Array, " n"]) -> Float[Array, "n d"]:
        """Return the rows of the identity matrix at ``indices``."""
        return self.pull_back(taken, jnp.eye(len(self.indices), dtype=taken.dtype))

    def _checked_indices(self) -> np.ndarray:
        indices = np.array(self.indices, dtype=np.int32)
        # JAX does not raise for an index that is too large; it would return the last entry.
        if indices.size and not 0 <= indices.min() <= indices.max() < self.size:
            wrong = next(index for index in self.indices if not 0 <= index < self.size)
            raise InputError(f"indices must lie in 0 .. {self.size - 1}; got {wrong}.")
        return indices

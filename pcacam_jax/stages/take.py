"""Selection: some entries of a vector, in any order, each once or more often."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector


@pytree
class Take:
    """x -> x[indices]: (d,) -> (n,); the Jacobian has a single 1 in every row.

    Raises:
        InputError: when called, if an index lies outside 0 .. size - 1.
    """

    indices: tuple[int, ...] = static()
    size: int = static()
    """d."""

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.size,)

    def __call__(self, x: Vector) -> Float[Array, " n"]:
        """Return x[indices]."""
        check_shape("x", x.shape, self.in_shape)
        return x[self._places()]

    def forward(self, x: Vector) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Return x[indices] twice; the derivative needs its dtype only."""
        taken = self(x)
        return taken, taken

    def pull_back(self, taken: Float[Array, " n"], rows: Rows) -> Rows:
        """Return the rows' entries at their indices, added where an index comes twice: (T, n) -> (T, d)."""
        return jnp.zeros((len(rows), self.size), rows.dtype).at[:, self._places()].add(rows)

    def jacobian(self, taken: Float[Array, " n"]) -> Float[Array, "n d"]:
        """Return the rows of the identity that are taken."""
        return self.pull_back(taken, jnp.eye(len(self.indices), dtype=taken.dtype))

    def _places(self) -> np.ndarray:
        places = np.array(self.indices, dtype=np.int32)
        # JAX clamps an index that is too large and would answer with the last entry.
        if places.size and not 0 <= places.min() <= places.max() < self.size:
            wrong = next(place for place in self.indices if not 0 <= place < self.size)
            raise InputError(f"indices must lie in 0 .. {self.size - 1}; got {wrong}.")
        return places

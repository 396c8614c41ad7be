"""One example with its targets: the values and derivatives that CAM methods are made of, each computed once."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.numerics import difference_step
from pcacam_jax.core.types import Maps, Rows
from pcacam_jax.head.curvature import cell_derivatives, hessian_product
from pcacam_jax.head.entry import Entry, split_entry
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection
from pcacam_jax.stages.jacobian import jacobian


class Example:
    """The maps of one example and T targets, inside a compiled function.

    Args:
        head: the head.
        maps: ``(*space, K)``.
        selection: the targets.
        backend: how derivatives are computed, see :func:`pcacam_jax.jacobian`.
    """

    def __init__(self, head: HybridHead, maps: Maps, selection: Selection, backend: str = "closed_form") -> None:
        self.head, self.maps, self.selection, self.backend = head, maps, selection, backend
        # Not cached lazily: the first use may be inside an inner transformation, whose values must not leave it.
        outputs, self.saved = head.forward(maps)
        self.values: Float[Array, " T"] = selection.values(outputs)

    @property
    def positions(self) -> int:
        """The number of positions of a map, ``h w``."""
        return self.maps[..., 0].size

    @property
    def axes(self) -> tuple[int, ...]:
        """The spatial axes of ``(T, *space, K)``."""
        return tuple(range(1, self.maps.ndim))

    @functools.cached_property
    def entry(self) -> Entry:
        """The head, split at its first affine map."""
        return split_entry(self.head)

    @property
    def rows(self) -> dict[str, Rows]:
        """One unit row per target, by output."""
        return self.selection.rows(self.head)

    def function(self, maps: Maps) -> Float[Array, " T"]:
        """Return the values of the targets at other maps."""
        return self.selection.values(self.head(maps))

    @functools.cached_property
    def gradient(self) -> Float[Array, "T *space K"]:
        """``g = dy/dA`` of every target."""
        if self.backend == "closed_form":
            return self.selection.in_order(self.head, self.head.pull_back(self.saved, self.rows))
        return jacobian(self.function, self.maps, backend=self.backend)

    @functools.cached_property
    def pooled_gradient(self) -> Float[Array, "T K"]:
        """``mean_ij g``. The closed form averages the first dense kernel and never forms the Jacobian (Eq. 9-10)."""
        if self.backend == "closed_form":
            return self.selection.in_order(self.head, self.head.pull_back_pooled(self.saved, self.rows))
        return jnp.mean(self.gradient, axis=self.axes)

    def hessian_product(self, direction: Maps) -> Float[Array, "T *space K"]:
        """Return the Hessian of every target times a direction.

        The reference for central differences is the difference of the gradient by reverse mode.
        """
        if self.backend == "closed_form":
            products = hessian_product(self.head, self.maps, direction, self.rows)
            return self.selection.in_order(self.head, products)
        gradient = jax.jacrev(self.function)
        if self.backend != "finite_difference":
            return jax.jvp(gradient, (self.maps,), (direction,))[1]
        step = difference_step(self.maps) / jnp.maximum(1, jnp.max(jnp.abs(direction)))
        return (gradient(self.maps + step * direction) - gradient(self.maps - step * direction)) / (2 * step)

    @functools.cached_property
    def cell_derivatives(self) -> tuple[Float[Array, "T *space K"], Float[Array, "T *space K"]]:
        """The second and the third derivative of every target along each cell ``A_ijk`` alone."""
        if self.backend == "closed_form":
            derivatives = cell_derivatives(self.head, self.maps, self.rows)
            second, third = (self.selection.in_order(self.head, values) for values in derivatives)
            return second, third
        return self._cell_derivatives_by_autodiff()

    def _cell_derivatives_by_autodiff(self) -> tuple[Array, Array]:
        def along(index: Array) -> tuple[Array, Array]:
            cell = jnp.zeros(self.maps.size, self.maps.dtype).at[index].set(1).reshape(self.maps.shape)
            path = lambda t: self.function(self.maps + t * cell)  # noqa: E731
            second = jax.jacfwd(jax.jacfwd(path))
            zero = jnp.zeros((), self.maps.dtype)
            return second(zero), jax.jacfwd(second)(zero)

        cells = jax.lax.map(along, jnp.arange(self.maps.size), batch_size=min(256, self.maps.size))
        second, third = (jnp.moveaxis(values, 0, -1).reshape(-1, *self.maps.shape) for values in cells)
        return second, third

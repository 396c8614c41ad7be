"""The support vectors with the largest terms of a map, found in blocks, and the sum of all other terms."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.cam.kernel_machine import block_at, block_starts, coefficients_of, largest_exponent, term_gradients
from pcacam_jax.cam.vanished import underflowed
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Vector
from pcacam_jax.stages import KernelExpansion, has_exponential_kernel


class LargestTerms(NamedTuple):
    """The largest terms among the support vectors read so far, and the sum of all others."""

    sizes: Float[Array, " n"]
    """``||L_i||``, in descending order; -1 where fewer than n support vectors have been read."""
    indices: Int[Array, " n"]
    gradients: Float[Array, "n d"]
    """``c_i dk(s_i, z)/dz``."""
    rest: Float[Array, " d"]
    """The sum of the gradients of all others."""
    total: Float[Array, ""]
    """The sum of all ``||L_i||``."""


def largest_terms(
    expansion: KernelExpansion, z: Vector, row: Float[Array, " P"], factor: Float[Array, "d r"], count: int, block: int
) -> LargestTerms:
    """Return the ``count`` terms of largest ``||c_i dk(s_i, z)/dz factor||``; among equals the first ones."""
    largest = largest_exponent(expansion, z, row, block)

    def step(kept: LargestTerms, start: Array) -> tuple[LargestTerms, None]:
        support, indices, is_new = block_at(expansion, start, block)
        gradients = term_gradients(support, z, matmul(row, coefficients_of(support)), largest)
        sizes = jnp.where(is_new, norm(matmul(gradients, factor)), 0)
        # Entries repeated from an earlier block rank last, so they are selected only if nothing else is left.
        ranks = jnp.concatenate([kept.sizes, jnp.where(is_new, sizes, -1)])
        best, places = jax.lax.top_k(ranks, count)
        gradients = jnp.concatenate([kept.gradients, gradients])
        left = jnp.ones_like(ranks).at[places].set(0)
        indices = jnp.concatenate([kept.indices, indices])[places]
        rest = kept.rest + matmul(left, gradients)
        return LargestTerms(best, indices, gradients[places], rest, kept.total + jnp.sum(sizes)), None

    zeros = jnp.zeros((count, len(z)), z.dtype)
    none = jnp.full(count, -1, z.dtype)
    first = LargestTerms(none, jnp.zeros(count, int), zeros, zeros[0], jnp.zeros((), z.dtype))
    return jax.lax.scan(step, first, block_starts(expansion, block))[0]


def terms_underflowed(
    expansion: KernelExpansion, z: Vector, row: Float[Array, " P"], largest: LargestTerms, block: int
) -> Bool[Array, ""]:
    """Return whether even the largest terms underflowed, although the exact ones are not all zero."""
    if expansion.relative or not has_exponential_kernel(expansion):
        return jnp.zeros((), bool)
    exponent = largest_exponent(dataclasses.replace(expansion, relative=True), z, row, block)
    return underflowed(largest.gradients.reshape(1, -1))[0] & (exponent > jnp.finfo(z.dtype).min)


def norm(rows: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the Euclidean norm of each row, scaled before squaring so that the squares do not underflow."""
    largest = jnp.max(jnp.abs(rows), axis=1)
    scaled = rows / jnp.where(largest > 0, largest, 1)[:, None]
    return largest * jnp.sqrt(jnp.sum(scaled * scaled, axis=1))

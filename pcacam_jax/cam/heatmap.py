"""What is done to heatmaps: signs, a shared maximum, size, scale. Shapes end in (h, w); any axes may come before."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def split_signs(heatmap: Float[Array, "... h w"]) -> tuple[Float[Array, "... h w"], Float[Array, "... h w"]]:
    """Return L+ = ReLU(L) and L- = ReLU(-L), so that L = L+ - L- exactly (Eq. 11)."""
    return jax.nn.relu(heatmap), jax.nn.relu(-heatmap)


def shared_maximum(positive: Float[Array, "... h w"], negative: Float[Array, "... h w"]) -> Float[Array, "..."]:
    """Return max(max L+, max L-), the end of the colour scale on which both are drawn (Eq. 12)."""
    return jnp.maximum(jnp.max(positive, axis=(-2, -1)), jnp.max(negative, axis=(-2, -1)))


def normalise(heatmap: Float[Array, "... h w"]) -> Float[Array, "... h w"]:
    """Return each map divided by its largest magnitude; a map of zeros stays zero."""
    largest = jnp.max(jnp.abs(heatmap), axis=(-2, -1), keepdims=True)
    return jnp.where(largest > 0, heatmap / jnp.where(largest > 0, largest, 1), 0)


def resize(heatmap: Float[Array, "... h w"], size: tuple[int, int]) -> Float[Array, "... H W"]:
    """Return each map at another (height, width) by bilinear interpolation."""
    return jax.image.resize(heatmap, (*heatmap.shape[:-2], *size), method="bilinear")

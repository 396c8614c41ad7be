"""Operations on finished heatmaps: signs, a shared maximum, scale and size.

The last two axes of an array are (h, w); any number of axes may precede them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def split_signs(heatmap: Float[Array, "... h w"]) -> tuple[Float[Array, "... h w"], Float[Array, "... h w"]]:
    """Return ``L+ = ReLU(L)`` and ``L- = ReLU(-L)``, so that ``L = L+ - L-`` exactly (Eq. 11)."""
    return jax.nn.relu(heatmap), jax.nn.relu(-heatmap)


def shared_maximum(positive: Float[Array, "... h w"], negative: Float[Array, "... h w"]) -> Float[Array, "..."]:
    """Return the upper end of the colour scale on which both parts of a heatmap are drawn (Eq. 12).

    Args:
        positive: ``L+``, ``(..., h, w)``.
        negative: ``L-``, ``(..., h, w)``.

    Returns:
        ``max(max L+, max L-)`` of each heatmap, ``(...)``, in the unit of the heatmaps.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.cam import shared_maximum
        >>> shared_maximum(jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 3.0]])).tolist()
        3.0
    """
    return jnp.maximum(jnp.max(positive, axis=(-2, -1)), jnp.max(negative, axis=(-2, -1)))


def normalise(heatmap: Float[Array, "... h w"]) -> Float[Array, "... h w"]:
    """Divide each heatmap by its largest magnitude.

    Args:
        heatmap: signed or nonnegative heatmaps, ``(..., h, w)``.

    Returns:
        The heatmaps in the range -1 to 1, ``(..., h, w)``; a heatmap of zeros stays zero.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.cam import normalise
        >>> normalise(jnp.array([[1.0, -4.0]])).tolist()
        [[0.25, -1.0]]
    """
    largest = jnp.max(jnp.abs(heatmap), axis=(-2, -1), keepdims=True)
    return jnp.where(largest > 0, heatmap / jnp.where(largest > 0, largest, 1), 0)


def resize(heatmap: Float[Array, "... h w"], size: tuple[int, int]) -> Float[Array, "... H W"]:
    """Resize each heatmap by bilinear interpolation.

    Args:
        heatmap: heatmaps, ``(..., h, w)``.
        size: ``(H, W)``, the new height and width in pixels.

    Returns:
        The heatmaps, ``(..., H, W)``, in the same unit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.cam import resize
        >>> resize(jnp.array([[0.0, 4.0]]), (1, 4)).tolist()
        [[0.0, 1.0, 3.0, 4.0]]
    """
    return jax.image.resize(heatmap, (*heatmap.shape[:-2], *size), method="bilinear")

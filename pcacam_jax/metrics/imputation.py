"""ROAD: removal of pixels by noisy linear imputation, and the faithfulness of a heatmap under it (Rong et al. 2022).

Pixels that are set to a constant leave edges, from which a network can read the shape of what was removed. Imputation
replaces removed pixels by a smooth continuation of the pixels around them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Scalar
from pcacam_jax.metrics.masks import (
    cell_counts,
    cell_ranks,
    check_positive,
    check_same_shape,
    float_array,
    heatmap_array,
    mask_array,
    values_of,
)

Image = Float[Array, "H W C"]

DIRECT, DIAGONAL = 1 / 6, 1 / 12
"""Weights of the four direct and of the four diagonal neighbours of a pixel; they add up to 1."""
TOLERANCE = 1e-5
"""The solver stops at this norm of the residual, relative to the right-hand side.

The error of a pixel of an image of 224 x 224 pixels is then at most about 1e-4 of the range of the image.
"""
ACCEPTED = 1e-3
"""The largest norm of the residual of an accepted solution, relative to the right-hand side."""
ITERATIONS = 2000
"""The largest number of iterations of the solver."""
FRACTIONS = tuple(k / 10 for k in range(1, 10))
"""The fractions of the pixels that :func:`road` removes."""


class Road(NamedTuple):
    """The target after removing pixels in both orders, and the score."""

    score: Scalar
    """Mean over the fractions of ``(y_least - y_most) / 2``; above 0 for a faithful map."""
    most_first: Float[Array, " n"]
    """The target after removing the most relevant pixels, for each fraction."""
    least_first: Float[Array, " n"]
    """The target after removing the least relevant pixels, for each fraction."""


def impute(image: Image, mask: Float[Array, "H W"], key: Array, *, noise: float = 0.01) -> Image:
    """Replace removed pixels by the weighted means of their neighbours, plus noise.

    The removed pixels ``x_p`` solve the linear system ``x_p = sum_q w_pq x_q / sum_q w_pq``. The neighbours q are those
    of the eight that lie inside the image, with the weights 1/6 (direct) and 1/12 (diagonal). Kept neighbours have
    their value in the image, and removed ones are unknowns. The system is solved by conjugate gradients.

    Args:
        image: the image, (H, W, C).
        mask: which pixels are kept, (H, W): those of at least 0.5.
        key: a key of ``jax.random`` for the noise.
        noise: the standard deviation of the normal noise on removed pixels, as a fraction of the range of the image.

    Returns:
        The image with the removed pixels replaced, (H, W, C). If all pixels are removed, they have the mean of their
        channel, plus noise. All removed pixels are NaN if the solver has not converged after 2000 iterations.

    Raises:
        InputError: the image, the mask or the noise is not valid.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pcacam_jax.metrics import impute
        >>> image = jnp.array([[[1.0], [9.0], [3.0]]])
        >>> imputed = jax.jit(impute)(image, jnp.array([[1.0, 0.0, 1.0]]), jax.random.key(0), noise=0.0)
        >>> imputed[0, :, 0].tolist()
        [1.0, 2.0, 3.0]
    """
    image, noise = _image_array(image), check_positive("noise", noise, zero=True)
    kept = (mask_array(mask, image.dtype) >= 0.5).astype(image.dtype)
    check_same_shape("mask", kept.shape, "image", image.shape[:2])
    kept = kept[:, :, None]
    count = jnp.sum(kept)
    # The system determines deviations from a constant. With the mean at zero, rounding does not depend on it.
    mean = jnp.where(count > 0, jnp.sum(kept * image, (0, 1)) / jnp.maximum(count, 1), jnp.mean(image, (0, 1)))
    solution = mean + _solve(image - mean, 1 - kept)
    spread = noise * (jnp.max(image) - jnp.min(image))
    noisy = solution + spread * jax.random.normal(key, image.shape, image.dtype)
    return jnp.where(kept > 0, image, noisy)


def road(
    value_of_image: Callable[[Image], Scalar],
    image: Image,
    heatmap: Float[Array, "H W"],
    key: Array,
    *,
    fractions: Any = FRACTIONS,
    noise: float = 0.01,
    batch_size: int = 4,
) -> Road:
    """Return the target of an image after imputing its most, and its least relevant pixels, and the ROAD score.

    The score is that of pytorch-grad-cam's ``ROADCombined``: the mean over the fractions of half the difference between
    removing the least relevant pixels first and removing the most relevant pixels first. Equal pixels are ordered by
    their index. For a map of zeros or another constant, both orders remove the same pixels, and the score is 0.

    Args:
        value_of_image: the target as a function of an image, (H, W, C) -> ().
        image: the image, (H, W, C).
        heatmap: the heatmap at the pixels, (H, W); see :func:`pcacam_jax.cam.resize`. For negative evidence give ``-L``
            or the negative part, with the negative of the target.
        key: a key of ``jax.random`` for the noise. The same key gives the same noise for each map and both orders.
        fractions: the fractions of the pixels that are removed, each in 0..1.
        noise: the noise of :func:`impute`.
        batch_size: the number of images that are imputed and evaluated together.

    Returns:
        The score and the targets of both orders.

    Raises:
        InputError: the image or a fraction is not valid, the heatmap has another size, or ``value_of_image`` returns no
            scalar.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pcacam_jax.metrics import road
        >>> image = jnp.zeros((8, 8, 1)).at[2:4, 2:4].set(1.0)
        >>> scored = jax.jit(lambda heatmap: road(jnp.sum, image, heatmap, jax.random.key(0), fractions=[0.1]))
        >>> bool(scored(image[:, :, 0]).score > 1)
        True
    """
    image = _image_array(image)
    heatmap = heatmap_array(heatmap)
    check_same_shape("heatmap", heatmap.shape, "image", image.shape[:2])
    counts = jnp.asarray(cell_counts(fractions, heatmap.size))
    ranks = jnp.stack([cell_ranks(heatmap), cell_ranks(-heatmap)])
    keys = jax.random.split(key, len(counts))

    def imputed(index):
        order, fraction = jnp.divmod(index, len(counts))
        return impute(image, ranks[order] >= counts[fraction], keys[fraction], noise=noise)

    values = values_of(value_of_image, 2 * len(counts), imputed, batch_size)
    most, least = values[: len(counts)], values[len(counts) :]
    return Road(jnp.mean(least - most) / 2, most, least)


def _image_array(image: Any) -> Image:
    image = float_array("image", image)
    if image.ndim != 3 or image.size == 0:
        raise InputError(f"image must be one image (H, W, C); got the shape {image.shape}; use jax.vmap for a batch.")
    return image


def _neighbours(image: Image) -> Image:
    """Return the weighted sum of the neighbours of every pixel; those outside the image count as zero."""
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    vertical = padded[:-2] + padded[2:]
    # The middle row weighs DIRECT to the left and right; the rows above and below weigh DIRECT, and DIAGONAL beside.
    return DIRECT * (vertical[:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) + DIAGONAL * (
        vertical[:, :-2] + vertical[:, 2:]
    )


def _solve(image: Image, removed: Float[Array, "H W 1"]) -> Image:
    """Return the removed pixels of the imputation, zero elsewhere; NaN if the solver does not converge."""
    weights = _neighbours(jnp.ones_like(removed))

    def system(x):
        return removed * (weights * x - _neighbours(x))

    known = removed * _neighbours((1 - removed) * image)
    solution, _ = jax.scipy.sparse.linalg.cg(system, known, tol=TOLERANCE, maxiter=ITERATIONS)
    residual = jnp.sqrt(jnp.sum((known - system(solution)) ** 2))
    limit = ACCEPTED * jnp.sqrt(jnp.sum(known**2))
    return jnp.where(residual <= limit, solution, jnp.nan)

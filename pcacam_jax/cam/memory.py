"""The number of examples per batch, from the memory that an example of a method needs."""

import jax
import numpy as np

from pcacam_jax.cam.method import Method
from pcacam_jax.head.hybrid import HybridHead

LARGEST_BATCH = 256
GRADIENT_FLOATS = 2**26
"""Largest number of floats in the kernel gradients of one batch: 256 MiB in float32."""


def default_batch_size(head: HybridHead, backend: str, targets: int = 1, method: Method | None = None) -> int:
    """Return the number of examples per batch if the caller does not choose one."""
    if backend != "closed_form":
        return 4  # these backends form whole Jacobians, or a block of directions, for each example of a batch
    leaves = jax.tree.leaves((head.pca, head.svms))
    *space, channels = head.in_shape
    positions = int(np.prod(space))
    # A target needs a row for each stage: over support vectors, channels and classes, and two heatmaps.
    row = max((max(leaf.shape, default=1) for leaf in leaves), default=1) + channels + 2 * positions
    largest = max((leaf.size for leaf in leaves), default=1)
    further = 0 if method is None else _further(head, method, targets, positions * channels)
    return max(1, min(LARGEST_BATCH, GRADIENT_FLOATS // max(largest, targets * row, further)))


def _further(head: HybridHead, method: Method, targets: int, cells: int) -> int:
    """Return the number of floats that a method needs for an example beyond the rows of its targets."""
    width = max((layer.shape[-1] for layer in jax.tree.leaves(head.dense)), default=1)
    return {
        "maps": cells,
        "gradient": 0 if method.pooled else 3 * targets * cells,
        "curvature": (8 * width + 6 * targets) * cells if method.passes == 2 else 3 * targets * cells,
        "head": cells + 64 * (width + targets) * head.in_shape[-1],
        "images": 8 * targets * cells,
    }[method.needs]

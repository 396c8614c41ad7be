"""The warning about heads whose maps look as if their channels came first."""

import warnings
from typing import Any

from pcacam_jax.stages.flatten import GlobalAverage, MaxPool

_EXAMINED = "_axis_order_examined"


def warn_about_axis_order(head: Any, *, stacklevel: int = 3) -> None:
    """Warn if the maps of a head look like (K, h, w), once per head.

    The heatmaps would then mix channels and positions, and no value would show it, because the flattened maps are the
    same.

    Args:
        head: a :class:`pcacam_jax.HybridHead`.
        stacklevel: as in :func:`warnings.warn`; by default the caller of the function that calls this one.
    """
    if _EXAMINED in vars(head):
        return
    vars(head)[_EXAMINED] = True  # not a field of the frozen dataclass, so that copies and JAX ignore it
    shape = head.in_shape
    first = head.spatial.stages[0]
    if (
        len(shape) != 3
        or isinstance(first, GlobalAverage)
        or (isinstance(first, MaxPool) and _pooled(shape) != _pooled_first(shape))
    ):
        return  # the estimators or kernels were fitted on K values per position
    if looks_channels_first(shape):
        channels, height, width = shape
        warnings.warn(
            f"maps of shape {shape} look as if their channels came first, with K = {channels}, h = {height} and w = "
            f"{width}; they must be (h, w, K), so convert PyTorch's maps with maps_from_torch and give maps_shape="
            f"({height}, {width}, {channels}); if {shape} is (h, w, K), ignore this warning.",
            stacklevel=stacklevel,
        )


def mark_like(head: Any, other: Any) -> Any:
    """Return ``head``, for which no warning is given if ``other``, from which it was made, was examined before."""
    if _EXAMINED in vars(other):
        vars(head)[_EXAMINED] = True
    return head


def looks_channels_first(shape: tuple[int, ...]) -> bool:
    """Return whether a shape is more plausible as (K, h, w) than as (h, w, K).

    It is if its first axis is the longest one, and the other two are closer to a square than the first two. Signals,
    where one of h and w is 1, are as plausible in both orders. A multiple of 16 is more often a number of channels.
    """
    first, second, third = shape
    if second != third and third % 16 == 0 and first % 16:
        return False
    if first <= max(second, third) or (1 in (second, third) and second != third):
        return False
    return max(second, third) / min(second, third) < first / second


def _pooled(shape: tuple[int, ...]) -> int:
    return (shape[0] // 2) * (shape[1] // 2) * shape[2]


def _pooled_first(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] // 2) * (shape[2] // 2)

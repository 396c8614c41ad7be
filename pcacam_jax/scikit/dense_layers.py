"""Validation of the dense layers of a head, and of the maps that they read."""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.arrays import real_array
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import shown
from pcacam_jax.head.hybrid import POOLS
from pcacam_jax.scikit.registry import as_dtype

RANKS = (2, 3, 4)
"""Numbers of axes of feature maps: one to three spatial axes, and the channels."""
Layers = list[tuple[jax.Array, jax.Array]]


def checked_pool(pool: Any) -> bool | str:
    """Return one of :data:`pcacam_jax.head.hybrid.POOLS`."""
    if not isinstance(pool, str | bool | np.bool_) or pool not in POOLS:
        raise InputError(f"pool must be False, True (2 x 2 max-pool) or 'average'; got {shown(pool)}.")
    return pool if isinstance(pool, str) else bool(pool)


def checked_maps_shape(maps_shape: Sequence[int], pool: bool | str) -> tuple[int, ...]:
    """Return ``(h, w, K)``, or ``(*space, K)`` with one or three spatial axes, as Python integers."""
    smallest = 2 if pool is True else 1
    try:
        shape = tuple(map(operator.index, maps_shape))
    except TypeError as error:
        raise InputError(f"maps_shape must be three integers (h, w, K); got {shown(maps_shape)}.") from error
    if isinstance(maps_shape, bytes) or len(shape) not in RANKS or min(shape[:-1]) < smallest or shape[-1] < 1:
        raise InputError(
            f"maps_shape must be (h, w, K) with h and w at least {smallest}; got {shown(maps_shape)}; signals have "
            f"(length, K) and volumes (depth, h, w, K)."
        )
    return shape


def vector_size(maps_shape: tuple[int, ...], pool: bool | str) -> int:
    """Return the size of x_0."""
    *space, channels = maps_shape
    if pool == "average":
        return channels
    return math.prod(side // 2 if pool else side for side in space) * channels


def checked_at(at: Any, layers: int) -> int:
    """Return the paper's m; None stands for 2, or for 0 if there is a single layer."""
    if at is None:
        return 2 if layers > 1 else 0
    try:
        number = -1 if isinstance(at, bool) else operator.index(at)
    except TypeError:
        number = -1
    if not 0 <= number <= layers:
        raise InputError(
            f"at must be the number of a dense layer, 1 to {layers}, or 0 for the vector that the first one reads; "
            f"got {shown(at)}."
        )
    return number


def checked_layers(dense: Sequence, maps_shape: tuple[int, ...], pool: bool | str) -> Layers:
    """Return the kernels and biases, in one dtype, checked to fit together."""
    pooling = {False: "", True: " after a 2 x 2 max-pool", "average": " averaged over their positions"}[pool]
    layers, source, size = [], f"maps of shape {maps_shape}{pooling}", vector_size(maps_shape, pool)
    if not isinstance(dense, Iterable) or getattr(dense, "ndim", 1) == 0:
        raise InputError(
            f"dense must be a list of pairs (kernel, bias); got {type(dense).__name__}, so pass [] for no layers."
        )
    for n, layer in enumerate(dense, start=1):
        if not isinstance(layer, tuple | list) or len(layer) != 2 or layer[1] is None:
            raise InputError(f"dense layer {n} must be a pair (kernel, bias); pass zeros for a layer without bias.")
        kernel = real_array(f"the kernel of dense layer {n}", layer[0])
        bias = real_array(f"the bias of dense layer {n}", layer[1])
        dtype = layers[0][0].dtype if layers else _floating_dtype(kernel)
        kernel, bias = as_dtype(f"the numbers of dense layer {n}", (kernel, bias), dtype)
        if kernel.ndim != 2 or kernel.shape[0] != size or bias.shape != kernel.shape[1:]:
            raise InputError(
                f"dense layer {n} reads {source}, so its kernel must have shape ({size}, out) and its bias (out,); "
                f"got {kernel.shape} and {bias.shape}."
            )
        layers.append((kernel, bias))
        size, source = kernel.shape[1], f"the {kernel.shape[1]} outputs of layer {n}"
    return layers


def _floating_dtype(values: Any) -> jnp.dtype:
    dtype = jax.dtypes.canonicalize_dtype(values.dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        return jax.dtypes.canonicalize_dtype(float)
    # Half precision may suffice for a network, but a PCA or an SVM loses too many digits in it.
    return jnp.promote_types(dtype, jnp.float32)

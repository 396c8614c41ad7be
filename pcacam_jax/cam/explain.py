"""Heatmaps of targets on feature maps: per batch, one forward pass and one backward pass for all targets."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.cam.methods import METHODS
from pcacam_jax.cam.vanished import unresolved, vanished
from pcacam_jax.core.checks import InputError, check_choice, check_flag
from pcacam_jax.core.explanation import Explanation, component_names
from pcacam_jax.core.types import Maps
from pcacam_jax.head.batches import (
    Batch,
    all_finite,
    batched,
    check_explained,
    check_not_traced,
    checked_batch_size,
    checked_maps,
    in_dtype,
)
from pcacam_jax.head.columns import check_columns, with_each_row
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection, Target, columns_of, parse_targets
from pcacam_jax.stages.jacobian import BACKENDS, jacobian
from pcacam_jax.stages.kernel_expansion import has_exponential_kernel, relative_kernels

LARGEST_BATCH = 256
GRADIENT_FLOATS = 2**26
"""Largest number of floats in the kernel gradients of one batch: 256 MiB in float32."""


def explain(
    head: HybridHead,
    maps: Float[Array, "B h w K"] | np.ndarray,
    targets: str | Sequence[str],
    *,
    method: str = "gradcam",
    backend: str = "closed_form",
    batch_size: int | None = None,
    scale_free: bool = False,
    columns: Float[Array, "B c"] | np.ndarray | None = None,
) -> Explanation:
    """Compute the heatmaps of targets on a batch of feature maps (Eq. 8-11, 14).

    Args:
        head: a head from :func:`pcacam_jax.hybrid_head` or of a loaded run.
        maps: ``(B, h, w, K)`` feature maps at the tap, channels last, from any framework.
        targets: ``"pca"`` (all components), ``"pca:0"``, ``"cnn:3"``, ``"svm_rbf:predicted"``,
            ``"svm_rbf:<class name>"``, or a list of such names.
        method: the CAM method, ``"gradcam"``.
        backend: how derivatives are computed: ``"closed_form"``, ``"reverse"``, ``"forward"`` or
            ``"finite_difference"``, see :func:`pcacam_jax.jacobian`.
        batch_size: number of examples per batch, which bounds memory. The default is at most 256, and 4 for the
            backends other than ``"closed_form"``.
        scale_free: whether to divide the gradients of RBF SVMs (and of an RBF kernel PCA) by their largest kernel
            value, so that they do not underflow. Each of their maps is then multiplied by a positive factor, which
            differs between examples and targets.
        columns: ``(B, c)``, the values of further columns, such as clinical values, for a head whose SVMs read them
            behind the components. They are held fixed: the maps show the dependence on the image alone.

    Returns:
        The heatmaps, ``(B, T, h, w)``, and the values of the T targets.

    Raises:
        InputError: the maps have another shape or are not finite; a target, the method or the backend is unknown; a
            stage has no scale-free form; or the values or heatmaps of an example are not finite.
        TypeError: ``head`` is not a head, a target is not a string, or ``scale_free`` is not a bool.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import explain, hybrid_head
        >>> dense = [(np.array([[1.0, -1.0], [2.0, 0.0]]), np.zeros(2))]
        >>> head = hybrid_head(dense, maps_shape=(1, 1, 2), at=1)
        >>> explanation = explain(head, np.ones((1, 1, 1, 2)), ["cnn:0", "cnn:1"])
        >>> explanation.signed.ravel().tolist()
        [3.0, -1.0]
    """
    if not isinstance(head, HybridHead):
        raise TypeError(f"head must be a HybridHead, from pcacam_jax.hybrid_head; got {type(head).__name__}.")
    check_choice("method", method, METHODS)
    check_choice("backend", backend, BACKENDS)
    check_flag("scale_free", scale_free)
    check_not_traced("explain", head, maps)
    check_columns(head, columns)
    if columns is not None:
        options = {"method": method, "backend": backend, "batch_size": batch_size, "scale_free": scale_free}
        return with_each_row(functools.partial(explain, targets=targets, **options), head, maps, columns)
    parsed = parse_targets(head, targets)
    maps = checked_maps(head, maps)
    size = checked_batch_size(batch_size, default_batch_size(head, backend, len(parsed)))
    explained = scale_free_head(head, parsed, backend) if scale_free else head
    compiled = functools.partial(_explain_batch, explained, targets=parsed, method=method, backend=backend)
    # Central differences are too coarse in float32, so they are computed in float64 whatever the dtype of the head.
    with jax.enable_x64(True) if backend == "finite_difference" else contextlib.nullcontext():
        dtype = jax.dtypes.canonicalize_dtype("float64" if backend == "finite_difference" else head.dtype)
        flags, result = batched(compiled, maps, size, dtype)
    names = tuple(target.name for target in parsed)
    check_explained(names, flags.finite, head.dtype)
    entries = head.outputs | {"pca": component_names(len(head.outputs.get("pca", ())))}
    entries = {output: np.array(entries[output]) for output in {target.output for target in parsed}}
    labels = [entries[target.output][flags.columns[:, t]] for t, target in enumerate(parsed)]
    return Explanation(
        targets=names,
        labels=np.stack(labels, axis=1),
        spaces=tuple(head.space(target.output) for target in parsed),
        vanished=flags.vanished,
        method=method,
        backend=backend,
        scale_free=explained is not head,
        shares=() if flags.shares is None else tuple(map(float, flags.shares[0])),
        **result,
    )


def default_batch_size(head: HybridHead, backend: str, targets: int = 1) -> int:
    """Return the number of examples per batch if the caller does not choose one."""
    if backend != "closed_form":
        return 4  # these backends form whole Jacobians, or a block of directions, for each example of a batch
    leaves = jax.tree.leaves((head.pca, head.svms))
    height, width, channels = head.in_shape
    # A target needs a row for each stage: over support vectors, channels and classes, and two heatmaps.
    row = max((max(leaf.shape, default=1) for leaf in leaves), default=1) + channels + 2 * height * width
    largest = max((leaf.size for leaf in leaves), default=1)
    return max(1, min(LARGEST_BATCH, GRADIENT_FLOATS // max(largest, targets * row)))


def scale_free_head(head: HybridHead, targets: tuple[Target, ...], backend: str) -> HybridHead:
    """Return the head with scale-free RBF kernels in the stages of the targets, or ``head`` itself if there are none.

    Raises:
        InputError: the backend is not ``"closed_form"``, or a stage has no scale-free form.
    """
    if backend != "closed_form":
        raise InputError(
            "scale_free needs backend='closed_form', because the other backends differentiate the values, whose "
            f"gradients underflow; got {backend!r}."
        )
    outputs = {target.output for target in targets} - {"cnn"}
    relative = {
        name: relative_kernels(svm) for name, svm in head.svms.items() if name in outputs and _can_underflow(svm)
    }
    reducer = relative_kernels(head.pca) if outputs and _can_underflow(head.pca) else head.pca
    if not relative and reducer is head.pca:
        return head
    return dataclasses.replace(head, pca=reducer, svms={**head.svms, **relative})


def _can_underflow(stage: Any) -> bool:
    return stage is not None and has_exponential_kernel(stage)


class Explained(NamedTuple):
    """Array fields of :class:`Explanation`, for one example or for a batch."""

    positive: Float[Array, "*B T h w"]
    negative: Float[Array, "*B T h w"]
    values: Float[Array, "*B T"]
    columns: Int[Array, "*B T"]
    mixture: dict[str, Float[Array, "*B D"]]
    vanished: Bool[Array, "*B T"]


class Flags(NamedTuple):
    """Numbers that the host reads for each batch."""

    finite: Bool[Array, "B T"]
    columns: Int[Array, "B T"]
    vanished: Bool[Array, "B T"]
    shares: Float[Array, "B D"] | None
    """The shares of the components' variances, the same for each example; None if the head does not hold them."""


@functools.partial(jax.jit, static_argnames=("targets", "method", "backend"))
def _explain_batch(head: HybridHead, maps: Array, *, targets: tuple[Target, ...], method: str, backend: str) -> Batch:
    """Explain a batch in the dtype of ``maps``, which is wider than that of the head for central differences."""
    options = {"targets": targets, "method": method, "backend": backend, "dtype": head.dtype}
    computing = jax.tree.map(in_dtype(maps.dtype), head)
    explained = jax.vmap(functools.partial(explain_example, computing, **options))(maps)
    result = jax.tree.map(in_dtype(head.dtype), explained)
    finite = functools.reduce(jnp.logical_and, (all_finite(array, 2) for array in result[:3]))
    large = result._asdict()
    shares = None if head.shares is None else jnp.broadcast_to(head.shares[None], (len(maps), len(head.shares)))
    return Batch(all_finite(maps), Flags(finite, result.columns, large.pop("vanished"), shares), large)


def explain_example(
    head: HybridHead, maps: Maps, *, targets: tuple[Target, ...], method: str, backend: str, dtype: Any = None
) -> Explained:
    """Return the array fields of :class:`Explanation` for one example; usable inside ``jit`` and ``vmap``.

    ``dtype`` is the dtype in which gradients may underflow, if the head itself computes in a wider one.
    """
    selection = Selection(columns_of(head, maps, targets), tuple(target.output for target in targets))
    positive, negative = METHODS[method](head, maps, selection, backend)
    values = head(maps)
    mixture = _mixture(head, maps, targets, selection.columns, backend)
    narrow = in_dtype(head.dtype if dtype is None else dtype)
    lost = vanished(jax.tree.map(narrow, head), narrow(maps), selection)
    if backend == "finite_difference":
        lost |= unresolved(head, maps, selection)
    return Explained(positive, negative, selection.values(values), selection.columns, mixture, lost)


def _mixture(
    head: HybridHead, maps: Maps, targets: tuple[Target, ...], columns: Int[Array, " T"], backend: str
) -> dict[str, Float[Array, " D"]]:
    """Return ``ds/dv`` of the targets that are entries of SVMs."""
    chosen = [t for t, target in enumerate(targets) if target.output in head.svms]
    if head.pca is None or not chosen:
        return {}
    selection = Selection(columns[np.array(chosen)], tuple(targets[t].output for t in chosen))
    if backend == "closed_form":
        stacked = head.mixture(head.forward(maps)[1], selection.rows(head))
        weights = selection.in_order(head, jnp.concatenate(list(stacked.values())))
    else:
        scores = lambda v: selection.values({name: head.svms[name](v) for name in head.svm_names})  # noqa: E731
        weights = jacobian(scores, head.components(maps), backend=backend)
    return {targets[t].name: weights[i] for i, t in enumerate(chosen)}

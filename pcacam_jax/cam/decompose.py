"""An SVM's map as a sum over components: L = sum_r w_r L_r with w_r = ds/dv_r, exactly (Eq. 10, 14, 15)."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.cam.component_maps import examples_per_batch, linear_method, maps_of_entries, without_svms
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.vanished import vanished
from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import component_names
from pcacam_jax.core.types import Maps
from pcacam_jax.head.batches import (
    Batch,
    all_finite,
    batched,
    check_explained,
    check_not_traced,
    checked_batch_size,
    checked_maps,
)
from pcacam_jax.head.columns import check_columns, with_each_row
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection, Target, columns_of, parse_targets
from pcacam_jax.metrics.agreement import contributions, shares


@dataclasses.dataclass(frozen=True)
class Decomposition:
    """The signed map of one SVM target on each of B examples, as a sum over D components (Eq. 10, 14, 15)."""

    target: str
    """Name of the target, such as ``"svm_rbf:predicted"``."""
    components: tuple[str, ...]
    """Names of the D components, "component 1", ...; without a PCA, the indices of the entries of ``x_m``."""
    maps: Float[Array, "B D h w"]
    """``(B, D, h, w)``, the signed terms ``w_r L_r``, in the unit of ``values``; their sum is the target's map."""
    weights: Float[Array, "B D"]
    """``(B, D)``, ``w_r = ds/dv_r``, in the unit of ``values`` per unit of component r."""
    shares: Float[Array, "B D"]
    """``(B, D)``, ``||w_r L_r|| / sum_q ||w_q L_q||``, a fraction from 0 to 1; NaN if all terms are zero."""
    values: Float[Array, " B"]
    """``(B,)``, the score ``s`` of the target, such as a margin."""
    columns: Int[Array, " B"]
    """``(B,)``, the index of the class that the target means at each example."""
    labels: np.ndarray
    """``(B,)`` strings, the names of these classes."""
    vanished: Bool[Array, " B"]
    """``(B,)``, True where the gradient underflowed, so that the terms have no meaning."""

    __repr__ = brief_repr

    @property
    def signed(self) -> Float[Array, "B h w"]:
        """``L = sum_r w_r L_r``, ``(B, h, w)``."""
        return jnp.sum(self.maps, axis=1)


def decompose(
    head: HybridHead,
    maps: Float[Array, "B h w K"] | np.ndarray,
    target: str,
    *,
    method: str | Method = "hirescam",
    batch_size: int | None = None,
    columns: Float[Array, "B c"] | np.ndarray | None = None,
) -> Decomposition:
    """Compute the map of an SVM's decision as a sum over components (Eq. 10, 14, 15).

    Args:
        head: a head from :func:`pcacam_jax.hybrid_head` or of a loaded run.
        maps: ``(B, h, w, K)`` feature maps at the tap, channels last.
        target: one class of one SVM: ``"svm_rbf:predicted"`` or ``"svm_rbf:<class name>"``.
        method: a CAM method whose maps are linear in the gradient: "hirescam", "gradcam", "xgradcam" or "cam", as in
            :func:`pcacam_jax.explain`.
        batch_size: number of examples per batch, which bounds memory. The default is at most 256, and fewer if a batch
            would need more than 64 MiB in float32 in addition to its maps.
        columns: ``(B, c)``, the values of further columns, as in :func:`pcacam_jax.explain`.

    Returns:
        The terms ``w_r L_r``, ``(B, D, h, w)``, in the unit of the score, with their weights and shares.

    Raises:
        InputError: the target is not one class of an SVM, the method is not linear in the gradient, or the maps or the
            results are rejected as in :func:`pcacam_jax.explain`.
        TypeError: ``head`` is not a head, or ``target`` is not a string.

    Example:
        >>> import numpy as np
        >>> from sklearn.svm import SVC
        >>> from pcacam_jax import decompose, hybrid_head
        >>> svm = SVC(kernel="linear").fit([[0.0, 0.0], [2.0, 1.0]], [0, 1])
        >>> head = hybrid_head([], maps_shape=(3, 3, 2), pool="average", svms={"svm": svm})
        >>> [round(float(share), 3) for share in decompose(head, np.ones((1, 3, 3, 2)), "svm:1").shares[0]]
        [0.667, 0.333]
    """
    parsed = svm_target("decompose", head, target, maps)
    check_columns(head, columns)
    if columns is not None:
        options = {"target": target, "method": method, "batch_size": batch_size}
        return with_each_row(functools.partial(decompose, **options), head, maps, columns)
    chosen = linear_method("decompose", method, head, parsed)
    maps, names = checked_maps(head, maps), input_names(head)
    largest = max((math.prod(leaf.shape) for leaf in jax.tree.leaves(head.svms[parsed.output])), default=0)
    size = checked_batch_size(batch_size, examples_per_batch(head, len(names), chosen, largest))
    compiled = functools.partial(_decompose_batch, head, target=parsed, method=chosen)
    flags, fields = batched(compiled, maps, size, head.dtype, name="decompose")
    check_explained([target], flags["finite"], head.dtype)
    labels = np.array(head.outputs[parsed.output])[flags["columns"]]
    return Decomposition(target=target, components=names, labels=labels, **fields)


def svm_target(name: str, head: HybridHead, target: str, maps: Any) -> Target:
    """Parse a target that must be one class of one SVM; ``name`` is the name of the calling function.

    Raises:
        InputError: the target means anything else, or the head or the maps are being traced.
        TypeError: ``head`` is not a head, or ``target`` is not a string.
    """
    if not isinstance(head, HybridHead):
        raise TypeError(f"head must be a HybridHead, from pcacam_jax.hybrid_head; got {type(head).__name__}.")
    if not isinstance(target, str):
        raise TypeError(f"target must be a string such as 'svm_rbf:predicted'; got {type(target).__name__}.")
    check_not_traced(name, head, maps)
    first, *others = parse_targets(head, target)
    if first.output not in head.svms:
        known = ", ".join(head.svm_names) or "none"
        raise InputError(f"target must be a class of an SVM, and the SVMs of this head are {known}; got {target!r}.")
    if others:
        known = ", ".join(each.name for each in (first, *others))
        raise InputError(f"target must be one class, {target}:predicted or one of {known}; got {target!r}.")
    return first


def input_names(head: HybridHead) -> tuple[str, ...]:
    """Return the names of the entries that the SVMs read: the components, or the indices of ``x_m`` without a PCA."""
    if head.pca is not None:
        return component_names(len(head.outputs["pca"]))
    size = jax.eval_shape(head.components, jax.ShapeDtypeStruct(head.in_shape, head.dtype)).shape[0]
    return tuple(map(str, range(size)))


@functools.partial(jax.jit, static_argnames=("target", "method"))
def _decompose_batch(head: HybridHead, maps: Float[Array, "B h w K"], target: Target, method: Method) -> Batch:
    fields = jax.vmap(functools.partial(decompose_example, head, target=target, method=method))(maps)
    finite = (all_finite(fields["values"]) & all_finite(fields["maps"]))[:, None]
    return Batch(all_finite(maps), {"finite": finite, "columns": fields["columns"]}, fields)


def decompose_example(head: HybridHead, maps: Maps, *, target: Target, method: Method) -> dict[str, Array]:
    """Return the array fields of :class:`Decomposition` for one example; usable inside ``jit`` and ``vmap``."""
    below, svm = without_svms(head), head.svms[target.output]
    saved, v = below.forward(maps)[1], below.components(maps)
    scores, svm_saved = svm.forward(v)
    column = columns_of(head, maps, (target,))[0]
    row = jax.nn.one_hot(column, len(scores), dtype=head.dtype)
    weights = svm.pull_back(svm_saved, row[None])[0]
    component_maps = maps_of_entries(below, saved, len(v), lambda rows: rows, maps, method)
    return {
        "maps": contributions(weights, component_maps),
        "weights": weights,
        "shares": shares(weights, component_maps),
        "values": scores[column],
        "columns": column,
        "vanished": vanished(head, maps, Selection(column[None], (target.output,)))[0],
    }

"""An SVM's map as a sum over support vectors: L = sum_i L_i, exactly (Eq. 14, 15, 24).

Let s be the score of the target, z the vector that the kernel reads, L_q the signed map of its entry z_q, and
c_i = ds/dk_i. For a margin, c_i is the sum of alpha_i t_i over all class pairs with its class, signed toward the class.

    ds/dz = sum_i c_i dk(s_i, z)/dz,  so  L = sum_i L_i  with  L_i = sum_q (c_i dk(s_i, z)/dz)_q L_q.

L_i is a map on the explained image: the contribution of the training image i. Support vectors are ranked by ||L_i||,
and the terms of all others are summed, so that no term is lost.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.cam.common_scale import rescaled_below_kernel
from pcacam_jax.cam.component_maps import examples_per_batch, linear_method, maps_of_entries, without_svms
from pcacam_jax.cam.decompose import svm_target
from pcacam_jax.cam.kernel_machine import (
    KernelMachine,
    check_support,
    coefficients_of,
    decision_values,
    kernel_machine_of,
    kernels,
    of_row,
    summed_gradient,
    with_support,
)
from pcacam_jax.cam.largest_terms import largest_terms, norm, terms_underflowed
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.vanished import pull_back_checked, vanished_below_svms
from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError, check_flag
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Maps
from pcacam_jax.head.batches import (
    Batch,
    all_finite,
    batched,
    check_explained,
    checked_batch_size,
    checked_count,
    checked_maps,
)
from pcacam_jax.head.columns import check_columns, with_each_row
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages import KernelExpansion, OneVsOneExpansion, critical_distance, relative_kernels
from pcacam_jax.stages.kernel_expansion import is_relative

BLOCK_FLOATS = 2**22
"""Largest number of floats in the kernel gradients that are computed at once for one batch."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The signed map of one SVM target on each of B examples, as a sum over support vectors (Eq. 14, 15, 24).

    The n largest terms of each example are stored one by one, and the sum of all other terms in ``rest``. Here ``z`` is
    the vector that the kernel reads: the components, or what a scaler before the SVM makes of them.
    """

    target: str
    """Name of the target, such as ``"svm_rbf:predicted"``."""
    indices: Int[Array, "B n"]
    """``(B, n)``, rows of the expansion's ``support``, the largest term first."""
    maps: Float[Array, "B n h w"]
    """``(B, n, h, w)``, the signed terms ``L_i`` of these support vectors, in the unit of ``values``."""
    rest: Float[Array, "B h w"]
    """``(B, h, w)``, the sum of the terms of all other support vectors; zero if there are none."""
    shares: Float[Array, "B n"]
    """``(B, n)``, ``||L_i||`` divided by its sum over all support vectors, 0 to 1; NaN if all terms are zero."""
    coefficients: Float[Array, "B n"]
    """``(B, n)``, ``c_i = ds/dk_i``, in the unit of ``values``; positive where similarity favours the class."""
    kernel_values: Float[Array, "B n"]
    """``(B, n)``, ``k(s_i, z)``, without unit."""
    influences: Float[Array, "B n"]
    """``(B, n)``, ``||dk(s_i, z)/dz||`` per unit of ``z`` (Eq. 27)."""
    distances: Float[Array, "B n"]
    """``(B, n)``, ``||s_i - z||`` in the unit of ``z``."""
    values: Float[Array, " B"]
    """``(B,)``, the score ``s`` of the target, such as a margin."""
    columns: Int[Array, " B"]
    """``(B,)``, the index of the class that the target means at each example."""
    labels: np.ndarray
    """``(B,)`` strings, the names of these classes."""
    vanished: Bool[Array, " B"]
    """``(B,)``, True where the gradient underflowed and the maps have no meaning; for RBF use ``scale_free=True``."""
    critical_distance: float | None
    """``d*`` of an RBF kernel, the distance of largest influence, in the unit of ``z`` (Eq. 31); else None."""
    support_vectors: int
    """Number of all support vectors."""

    __repr__ = brief_repr

    @property
    def signed(self) -> Float[Array, "B h w"]:
        """``L``, the sum of all terms, ``(B, h, w)``."""
        return jnp.sum(self.maps, axis=1) + self.rest

    @property
    def terms(self) -> Float[Array, "B n"]:
        """``c_i k(s_i, z)``, ``(B, n)``; over all support vectors and with the intercept they sum to the margin."""
        return self.coefficients * self.kernel_values


def evidence(
    head: HybridHead,
    maps: Float[Array, "B h w K"] | np.ndarray,
    target: str,
    *,
    method: str | Method = "hirescam",
    count: int = 8,
    support: KernelExpansion | OneVsOneExpansion | None = None,
    scale_free: bool = False,
    batch_size: int | None = None,
    columns: Float[Array, "B c"] | np.ndarray | None = None,
) -> Evidence:
    """Compute the map of an SVM's decision as a sum over support vectors (Eq. 14, 15, 24).

    Args:
        head: a head from :func:`pcacam_jax.hybrid_head` or of a loaded run.
        maps: ``(B, h, w, K)`` feature maps at the tap, channels last.
        target: one class of one SVM: ``"svm_rbf:predicted"`` or ``"svm_rbf:<class name>"``.
        method: a CAM method whose maps are linear in the gradient: "hirescam", "gradcam", "xgradcam" or "cam", as in
            :func:`pcacam_jax.explain`.
        count: number of support vectors whose terms are returned one by one for each example.
        support: for a linear SVM, the expansion over its support vectors, because the head stores only their weighted
            sum. Its decision values are compared with those of the head at every example.
        scale_free: whether to divide the terms by the largest kernel value, so that those of an RBF SVM or an RBF
            kernel PCA do not underflow. All terms of an example share one positive factor, and their sum is the map of
            ``explain(..., scale_free=True)``.
        batch_size: number of examples per batch, which bounds memory. The default is at most 256, and fewer if a batch
            would need more than 64 MiB in float32 in addition to its maps.
        columns: ``(B, c)``, the values of further columns, as in :func:`pcacam_jax.explain`.

    Returns:
        The ``count`` largest terms of each example, ``(B, count, h, w)``, and the sum of the others, ``(B, h, w)``.

    Raises:
        InputError: the target is not one class of an SVM, the method is not linear in the gradient, the SVM has no
            support vectors, ``support`` is needed or does not match, or the maps or the results are rejected as in
            :func:`pcacam_jax.explain`.
        TypeError: ``head`` is not a head, ``target`` not a string, or ``support`` not an expansion.

    Example:
        >>> import numpy as np
        >>> from sklearn.svm import SVC
        >>> from pcacam_jax import evidence, hybrid_head
        >>> svm = SVC(gamma=0.5).fit([[0.0, 0.0], [3.0, 0.0]], [0, 1])
        >>> head = hybrid_head([], maps_shape=(3, 3, 2), pool="average", svms={"svm": svm})
        >>> terms = evidence(head, np.ones((1, 3, 3, 2)), "svm:1", count=2)
        >>> terms.indices.tolist(), [round(float(share), 3) for share in terms.shares[0]]
        ([[0, 1]], [0.9, 0.1])
    """
    parsed, scale_free = svm_target("evidence", head, target, maps), check_flag("scale_free", scale_free)
    check_columns(head, columns)
    if columns is not None:
        options = {"method": method, "count": count, "support": support, "scale_free": scale_free}
        options |= {"batch_size": batch_size}
        return with_each_row(functools.partial(evidence, target=target, **options), head, maps, columns)
    chosen = linear_method("evidence", method, head, parsed)
    maps, count = checked_maps(head, maps), checked_count("count", count)
    head_svm = kernel_machine_of(parsed.output, head.svms[parsed.output])
    if scale_free:
        head_svm, head = relative_kernels(head_svm), dataclasses.replace(head, pca=relative_kernels(head.pca))
    check_support(parsed.output, head_svm, support)
    expansion: Any = support or head_svm.expansion
    number, width = expansion.support.shape
    # A one-vs-one expansion needs an entry for each support vector and several for each pair of classes.
    whole = number + 4 * len(expansion.intercept) if isinstance(expansion, OneVsOneExpansion) else 0
    size = checked_batch_size(batch_size, examples_per_batch(head, width, chosen, whole))
    block = block_size(number, width, size)
    options = {"column": parsed.column, "method": chosen, "count": min(count, number), "block": block}
    compiled = functools.partial(_evidence_batch, without_svms(head), head_svm, support, **options)
    flags, fields = batched(compiled, maps, size, head.dtype, name="evidence")
    check_explained([target], flags["finite"], head.dtype)
    if support is not None:
        _check_values(parsed.output, flags)
    return Evidence(
        target=target,
        labels=np.array(head.outputs[parsed.output])[flags["columns"]],
        critical_distance=critical_distance(float(flags["gamma"][0])) if "gamma" in flags else None,
        support_vectors=number,
        **fields,
    )


def block_size(count: int, width: int, batch: int) -> int:
    """Return how many of ``count`` support vectors of length ``width`` form a block, for batches of ``batch``."""
    return min(max(BLOCK_FLOATS // (width * batch), 1), count)


def _check_values(name: str, flags: dict[str, np.ndarray]) -> None:
    """Check that the decision values over ``support`` equal those of the head at every example."""
    if flags["differs"].any():
        b = int(np.argmax(flags["differs"]))
        raise InputError(
            f"support must be the kernel expansion of {name}, but at example {b} it gives {flags['given'][b]:.6g} "
            f"where the head gives {flags['expected'][b]:.6g}; build it from the estimator of the head."
        )


@functools.partial(jax.jit, static_argnames=("column", "method", "count", "block"))
def _evidence_batch(
    head: HybridHead,
    svm: KernelMachine,
    support: KernelExpansion | OneVsOneExpansion | None,
    maps: Array,
    *,
    column: int | None,
    method: Method,
    count: int,
    block: int,
) -> Batch:
    over_support = svm if support is None else with_support(svm, support)
    options = {"column": column, "method": method, "count": count, "block": block}
    one = functools.partial(evidence_example, head, over_support, **options)
    fields, pairs, magnitudes, z = jax.vmap(one)(maps)
    finite = (all_finite(fields["values"]) & all_finite(fields["maps"]) & all_finite(fields["rest"]))[:, None]
    small = {"finite": finite, "columns": fields["columns"]}
    if support is not None:
        small |= jax.vmap(_first_difference)(pairs, jax.vmap(svm.expansion)(z), magnitudes)
    if svm.expansion.kernel == "rbf":
        small["gamma"] = jnp.broadcast_to(over_support.expansion.parameters["gamma"], len(maps))
    return Batch(all_finite(maps), small, fields)


def _first_difference(
    given: Float[Array, " P"], expected: Float[Array, " P"], magnitudes: Float[Array, " P"]
) -> dict[str, Array]:
    """Return whether decision values differ by more than rounding, and the first ones that do."""
    differs = ~(jnp.abs(given - expected) <= float(jnp.finfo(given.dtype).eps) ** (2 / 3) * magnitudes)
    p = jnp.argmax(differs)
    return {"differs": differs[p], "given": given[p], "expected": expected[p]}


def evidence_example(
    head: HybridHead,
    svm: KernelMachine,
    maps: Maps,
    *,
    column: int | None,
    method: Method,
    count: int,
    block: int,
) -> tuple[dict[str, Array], Array, Array, Array]:
    """Return (the array fields of :class:`Evidence`, ``g(z)``, the magnitudes of its terms, ``z``) for one example.

    Support vectors are read in blocks of ``block``, so that no array has an entry for each support vector.
    """
    saved, v = head.forward(maps)[1], head.components(maps)
    z, scaler_saved = svm.scaler.forward(v)
    pairs, magnitudes = decision_values(svm.expansion, z, block)
    chosen = svm.scores.predict(pairs) if column is None else jnp.asarray(column)
    scores, scores_saved = svm.scores.forward(pairs)
    unit_row = jax.nn.one_hot(chosen, len(scores), dtype=z.dtype)[None]
    rows, lost = pull_back_checked(svm.scores, scores_saved, pairs, unit_row)
    expansion, row = of_row(svm.expansion, rows[0])
    if is_relative(head.pca) or is_relative(svm.scaler):
        whole = summed_gradient(expansion, z, row, block)[None]
        head, saved, svm, scaler_saved = rescaled_below_kernel(head, saved, svm, scaler_saved, whole)
    entry_maps = maps_of_entries(
        head, saved, len(z), functools.partial(svm.scaler.pull_back, scaler_saved), maps, method
    )
    flat = entry_maps.reshape(len(z), -1)
    # ||L_i|| = ||flat^T w|| = ||R w||, where R is only as large as z.
    largest = largest_terms(expansion, z, row, jnp.linalg.qr(flat.T, mode="r").T, count, block)
    values, gradients = kernels(dataclasses.replace(expansion, support=expansion.support[largest.indices]), z)
    coefficients = matmul(row, coefficients_of(expansion)[:, largest.indices])
    whole = (jnp.sum(largest.gradients, axis=0) + largest.rest)[None]
    on_components, lost_in_scaler = pull_back_checked(svm.scaler, scaler_saved, v, whole)
    lost = lost | lost_in_scaler | vanished_below_svms(head, saved, maps, on_components)
    fields = {
        "indices": largest.indices,
        "maps": jnp.einsum("nq,qhw->nhw", largest.gradients, entry_maps, precision=jax.lax.Precision.HIGHEST),
        "rest": matmul(largest.rest, flat).reshape(entry_maps.shape[1:]),
        "shares": largest.sizes / largest.total,
        "coefficients": coefficients,
        "kernel_values": values,
        "influences": norm(gradients),
        "distances": norm(expansion.support[largest.indices] - z[None]),
        "values": scores[chosen],
        "columns": chosen,
        "vanished": lost[0] | terms_underflowed(expansion, z, row, largest, block),
    }
    return fields, pairs, magnitudes, z

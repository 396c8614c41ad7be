"""Which training images an SVM's map is made of: L = sum_i L_i over support vectors, exactly (Eq. 14, 15, 24).

With c_i = ds/dk_i (for a margin the multipliers alpha_i t_i of all pairs that hold its class, signed toward it and
summed), z what the kernel reads, and L_q the map of z_q:

    ds/dz = sum_i c_i dk(s_i, z)/dz,  so  L = sum_i L_i  with  L_i = sum_q (c_i dk(s_i, z)/dz)_q L_q.

L_i lies on the explained image: it is the part of its map that training image i answers for. Support vectors are ranked
by the size ||L_i|| of their part, and the part of all others together is kept, so nothing is lost.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.cam.common_scale import below_at_one_scale
from pcacam_jax.cam.decompose import default_batch, maps_of_each, svm_target, without_svms
from pcacam_jax.cam.kernel_machine import (
    Machine,
    block_at,
    block_starts,
    kernels,
    largest_exponent,
    machine_of,
    machine_values,
    part_weights,
    whole_weights,
    with_support,
)
from pcacam_jax.cam.vanished import lost_below, through, underflowed
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Maps, Vector
from pcacam_jax.head.batches import batched, check_explained, checked_batch_size, checked_count, checked_maps
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages import KernelExpansion, critical_distance, has_exponential_kernel, relative_kernels
from pcacam_jax.stages.kernel_expansion import is_relative

BLOCK_FLOATS = 2**22
"""Of kernel gradients of one batch at once; it says how many support vectors are taken at a time."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The signed maps of one SVM target on B examples, each as a sum over support vectors, the n largest apart."""

    target: str
    indices: Int[Array, "B n"]
    """Which support vectors, the largest part first: rows of the expansion's ``support``."""
    maps: Float[Array, "B n h w"]
    """L_i of these, signed."""
    rest: Float[Array, "B h w"]
    """The sum of L_i over all other support vectors; zero where there is no other."""
    shares: Float[Array, "B n"]
    """||L_i|| / sum_j ||L_j||, the sum over all support vectors; NaN where every part is zero."""
    coefficients: Float[Array, "B n"]
    """c_i = ds/dk_i: above zero where likeness to this training image speaks for the target's class."""
    kernel_values: Float[Array, "B n"]
    """k(s_i, z)."""
    influences: Float[Array, "B n"]
    """||dk(s_i, z)/dz||, Eq. 27."""
    distances: Float[Array, "B n"]
    """||s_i - z||, where the kernel reads."""
    values: Float[Array, " B"]
    """The target's value s."""
    columns: Int[Array, " B"]
    """The class that the target meant at each example."""
    labels: np.ndarray
    """The names of those classes, (B,) strings."""
    vanished: Bool[Array, " B"]
    """Whether the gradient underflowed, so that the parts say nothing; ``scale_free`` brings an RBF machine's back."""
    critical_distance: float | None
    """d* of an RBF kernel, the distance of greatest influence (Eq. 31); None for other kernels."""
    support_vectors: int
    """How many there are in all."""

    @property
    def signed(self) -> Float[Array, "B h w"]:
        """L, the sum of all parts."""
        return jnp.sum(self.maps, axis=1) + self.rest

    @property
    def terms(self) -> Float[Array, "B n"]:
        """c_i k(s_i, z): what each adds to a margin; those of all support vectors and the intercept add up to it."""
        return self.coefficients * self.kernel_values


def evidence(
    head: HybridHead,
    maps: Float[Array, "B h w K"] | np.ndarray,
    target: str,
    *,
    count: int = 8,
    support: KernelExpansion | None = None,
    scale_free: bool = False,
    batch_size: int | None = None,
) -> Evidence:
    """Return the map of an SVM's decision as a sum over support vectors, those of the largest parts one by one.

    Args:
        head: from :func:`pcacam_jax.hybrid_head` or a loaded run.
        maps: (B, h, w, K) feature maps at the tap, as :func:`pcacam_jax.explain` takes them.
        target: one class of one SVM: ``"svm_rbf:predicted"`` or ``"svm_rbf:<class name>"``.
        count: how many support vectors to keep apart for each example; all of them where there are fewer.
        support: the machine's original support vectors and coefficients, for a linear SVM, whose stage holds only
            their sum; it is checked against the head's own machine at every example.
        scale_free: divide the parts of an RBF machine by its largest kernel value, and those behind a kernel PCA by
            the one that is largest for their sum, others for every example, so that they do not underflow; they then
            add up to the map of ``explain(..., scale_free=True)``.
        batch_size: examples taken at a time, which bounds memory; by default as many as go into 64 MiB in float32.

    Raises:
        InputError: a target that is not one class of an SVM, an SVM without support vectors, a ``support`` that is
            not its own, or maps that :func:`pcacam_jax.explain` would refuse.
    """
    wanted, maps = svm_target(head, target), checked_maps(head, maps)
    count = checked_count("count", count)
    own = machine_of(wanted.output, head.svms[wanted.output])
    if scale_free:
        own, head = relative_kernels(own), dataclasses.replace(head, pca=relative_kernels(head.pca))
    machine = with_support(wanted.output, own, support)
    number, reads = machine.expansion.support.shape
    size = checked_batch_size(batch_size, len(maps), default_batch(head, reads))
    options = {"column": wanted.column, "count": min(count, number), "block": block_size(number, reads, size)}
    compiled = functools.partial(_evidence_batch, without_svms(head), machine, **options)
    found, pairs, magnitudes, read = batched(compiled, maps, size, head.dtype)
    check_explained([target], *(found[name][:, None] for name in ("values", "maps", "rest")))
    if support is not None:
        _check_same(wanted.output, own.expansion, read, pairs, magnitudes)
    labels = np.array(head.outputs[wanted.output])[np.asarray(found["columns"])]
    gamma = machine.expansion.parameters.get("gamma") if machine.expansion.kernel == "rbf" else None
    distance = None if gamma is None else critical_distance(float(gamma))
    return Evidence(target=target, labels=labels, critical_distance=distance, support_vectors=number, **found)


def block_size(count: int, reads: int, batch: int) -> int:
    """Return how many of ``count`` support vectors are taken at a time for a batch."""
    return min(max(BLOCK_FLOATS // (reads * batch), 1), count)


def _check_same(
    name: str, own: KernelExpansion, read: Float[Array, "B d"], pairs: Float[Array, "B P"], size: Float[Array, "B P"]
) -> None:
    expected = jax.jit(jax.vmap(own))(read)
    tolerance = float(jnp.finfo(pairs.dtype).eps) ** (2 / 3)
    wrong = ~np.asarray(jnp.abs(pairs - expected) <= tolerance * size)
    if wrong.any():
        b, p = map(int, np.argwhere(wrong)[0])
        raise InputError(
            f"support must be the machine of {name}, but at example {b} it gives {float(pairs[b, p]):.6g} where the "
            f"head gives {float(expected[b, p]):.6g}; build it from the very estimator that the head was built from."
        )


@functools.partial(jax.jit, static_argnames=("column", "count", "block"))
def _evidence_batch(
    head: HybridHead, machine: Machine, maps: Array, *, column: int | None, count: int, block: int
) -> tuple:
    one = functools.partial(evidence_example, head, machine, column=column, count=count, block=block)
    return jax.vmap(one)(maps)


def evidence_example(
    head: HybridHead, machine: Machine, maps: Maps, *, column: int | None, count: int, block: int
) -> tuple[dict[str, Array], Array, Array, Array]:
    """Return the fields of :class:`Evidence` for one example, then g(z), its terms' magnitudes, and z.

    Support vectors are read ``block`` at a time, so that nothing here has one entry for each of them.
    """
    saved, v = head.forward(maps)[1], head.components(maps)
    z, before = machine.before.forward(v)
    pairs, magnitudes = machine_values(machine.expansion, z, block)
    chosen = machine.scores.predict(pairs) if column is None else jnp.asarray(column)
    scores, scored = machine.scores.forward(pairs)
    rows, lost = through(machine.scores, scored, pairs, jax.nn.one_hot(chosen, len(scores), dtype=z.dtype)[None])
    row = rows[0]
    if is_relative(head.pca) or is_relative(machine.before):
        whole = whole_weights(machine.expansion, z, row, block)[None]
        head, saved, machine, before = below_at_one_scale(head, saved, machine, before, whole)
    pull = functools.partial(machine.before.pull_back, before)
    own = maps_of_each(head, saved, len(z), pull, maps)
    flat = own.reshape(len(z), -1)
    # ||flat^T w|| = ||R w||, and R is as small as the kernel's input.
    largest = largest_parts(machine.expansion, z, row, jnp.linalg.qr(flat.T, mode="r").T, count, block)
    values, gradients = kernels(_chosen(machine.expansion, largest.indices), z)
    coefficients = matmul(row, machine.expansion.coefficients[:, largest.indices])
    whole = (jnp.sum(largest.weights, axis=0) + largest.rest)[None]
    on_components, lost_before = through(machine.before, before, v, whole)
    lost = lost | lost_before | lost_below(head, saved, maps, on_components)
    fields = {
        "indices": largest.indices,
        "maps": jnp.einsum("nq,qhw->nhw", largest.weights, own, precision=jax.lax.Precision.HIGHEST),
        "rest": matmul(largest.rest, flat).reshape(own.shape[1:]),
        "shares": largest.sizes / largest.total,
        "coefficients": coefficients,
        "kernel_values": values,
        "influences": norm(gradients),
        "distances": norm(machine.expansion.support[largest.indices] - z[None]),
        "values": scores[chosen],
        "columns": chosen,
        "vanished": lost[0] | _machine_lost(machine.expansion, z, row, largest, block),
    }
    return fields, pairs, magnitudes, z


class Largest(NamedTuple):
    """The largest parts found so far, and the sum of all the others."""

    sizes: Float[Array, " n"]
    indices: Int[Array, " n"]
    weights: Float[Array, "n d"]
    """c_i dk(s_i, z)/dz."""
    rest: Float[Array, " d"]
    total: Float[Array, ""]
    """The sum of all sizes."""


def largest_parts(
    expansion: KernelExpansion, z: Vector, row: Float[Array, " P"], factor: Float[Array, "d r"], count: int, block: int
) -> Largest:
    """Return the ``count`` support vectors of the largest ||c_i dk(s_i, z)/dz factor||, the first among equals."""
    top = largest_exponent(expansion, z, row, block)

    def step(found: Largest, start: Array) -> tuple[Largest, None]:
        part, indices, fresh = block_at(expansion, start, block)
        weights = part_weights(part, z, matmul(row, part.coefficients), top)
        sizes = jnp.where(fresh, norm(matmul(weights, factor)), 0)
        # An entry that an earlier block held comes after all others, so it is chosen only where nothing else is left.
        ranks = jnp.concatenate([found.sizes, jnp.where(fresh, sizes, -1)])
        best, places = jax.lax.top_k(ranks, count)
        weights = jnp.concatenate([found.weights, weights])
        left = jnp.ones_like(ranks).at[places].set(0)
        indices = jnp.concatenate([found.indices, indices])[places]
        rest = found.rest + matmul(left, weights)
        return Largest(best, indices, weights[places], rest, found.total + jnp.sum(sizes)), None

    zeros = jnp.zeros((count, len(z)), z.dtype)
    starts = block_starts(expansion, block)
    first = Largest(jnp.full(count, -1, z.dtype), jnp.zeros(count, int), zeros, zeros[0], jnp.zeros((), z.dtype))
    return jax.lax.scan(step, first, starts)[0]


def _machine_lost(
    expansion: KernelExpansion, z: Vector, row: Float[Array, " P"], largest: Largest, block: int
) -> Bool[Array, ""]:
    """Whether even the largest part underflowed although there are parts."""
    if expansion.relative or not has_exponential_kernel(expansion):
        return jnp.zeros((), bool)
    top = largest_exponent(dataclasses.replace(expansion, relative=True), z, row, block)
    return underflowed(largest.weights.reshape(1, -1))[0] & (top > jnp.finfo(z.dtype).min)


def norm(rows: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the length of every row; tiny rows are scaled first, so that their squares do not underflow."""
    largest = jnp.max(jnp.abs(rows), axis=1)
    scaled = rows / jnp.where(largest > 0, largest, 1)[:, None]
    return largest * jnp.sqrt(jnp.sum(scaled * scaled, axis=1))


def _chosen(expansion: KernelExpansion, indices: Int[Array, " n"]) -> KernelExpansion:
    return dataclasses.replace(
        expansion, support=expansion.support[indices], coefficients=expansion.coefficients[:, indices]
    )

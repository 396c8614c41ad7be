"""From feature maps and targets to heatmaps: one forward pass and one pull-back for all targets of a batch."""

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
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.types import Maps, Vector
from pcacam_jax.head.batches import batched, check_explained, checked_batch_size, checked_maps, in_dtype
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection, Target, columns_of, parse_targets
from pcacam_jax.stages.jacobian import BACKENDS, jacobian
from pcacam_jax.stages.kernel_expansion import has_exponential_kernel, relative_kernels

LARGEST_BATCH = 256
MOST_NUMBERS = 2**26
"""Numbers that the gradients of one kernel expansion may fill for a batch: 256 MiB in float32."""


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Heatmaps of T targets on B examples, raw and unnormalised."""

    targets: tuple[str, ...]
    """Names of the T targets."""
    positive: Float[Array, "B T h w"]
    """Evidence for the target, >= 0 (L+, Eq. 11; the SVM's and the CNN's own map, Eq. 8 and 14)."""
    negative: Float[Array, "B T h w"]
    """Evidence against the target, >= 0 (L-)."""
    values: Float[Array, "B T"]
    """The explained numbers: logits, components, class margins or what else ``spaces`` says."""
    columns: Int[Array, "B T"]
    """The entry of its output that each target meant: the component, or the class, predicted or named."""
    labels: np.ndarray
    """The names of those entries, (B, T) strings."""
    mixture: dict[str, Float[Array, "B D"]]
    """For each SVM target ds/dv_r at each example: its signed map is exactly sum_r of these times L_r.

    Empty without a PCA. With ``scale_free``, up to a positive factor of each map.
    """
    spaces: tuple[str, ...]
    """What the values of each target are: "logit", "component", "margin", "decision", "log_proba", ..."""
    vanished: Bool[np.ndarray, "B T"]
    """Whether a target's gradient underflowed, so that its map says nothing; ``scale_free`` brings RBF maps back.

    It is lost far from all support vectors, in a probability that rounds to 0 or 1, in saturated sigmoid or tanh units,
    and with the backend "finite_difference" also where it drowns in the rounding of the values. Units that are off in
    truth, such as those of a ReLU, are not meant.
    """
    method: str
    backend: str
    scale_free: bool
    """Whether maps (and ``mixture``) of RBF machines are known up to a positive factor of their own only; false where
    no target has one."""

    @property
    def signed(self) -> Float[Array, "B T h w"]:
        """L = L+ - L-."""
        return self.positive - self.negative


def explain(
    head: HybridHead,
    maps: Float[Array, "B h w K"] | np.ndarray,
    targets: str | Sequence[str],
    *,
    method: str = "gradcam",
    backend: str = "closed_form",
    batch_size: int | None = None,
    scale_free: bool = False,
) -> Explanation:
    """Return the heatmaps of ``targets`` on a batch of feature maps.

    Args:
        head: from :func:`pcacam_jax.hybrid_head` or a loaded run.
        maps: (B, h, w, K) feature maps at the tap, channels last, from any framework.
        targets: ``"pca"`` (all components), ``"pca:0"``, ``"cnn:3"``, ``"svm_rbf:predicted"``,
            ``"svm_rbf:<class name>"``, or a list of them.
        method: a name in :data:`pcacam_jax.cam.methods.METHODS`.
        backend: where derivatives come from, a name in :data:`pcacam_jax.stages.jacobian.BACKENDS`.
        batch_size: examples taken at a time, which bounds memory; by default up to 256, or 4 for the other backends.
        scale_free: divide the gradients of RBF machines (and of a kernel PCA) by their largest kernel value, so that
            they never underflow. Their maps then differ from the exact ones by a positive factor, another for every
            example and target.

    Raises:
        InputError: maps of another shape, NaN or infinite maps, an unknown target, method or backend, a machine that
            has no scale-free form, or an example whose values or heatmaps are not finite.
    """
    if not isinstance(head, HybridHead):
        raise TypeError(f"head must be a HybridHead, from pcacam_jax.hybrid_head; got {type(head).__name__}.")
    check_choice("method", method, METHODS)
    check_choice("backend", backend, BACKENDS)
    if not isinstance(scale_free, bool):
        raise TypeError(f"scale_free must be True or False; got {scale_free!r}.")
    parsed = parse_targets(head, targets)
    maps = checked_maps(head, maps)
    size = checked_batch_size(batch_size, len(maps), default_batch_size(head, backend))
    explained = scale_free_head(head, parsed, backend) if scale_free else head
    # Central differences in float32 say little, so they are taken in float64 whatever the head computes in.
    with jax.enable_x64(True) if backend == "finite_difference" else contextlib.nullcontext():
        dtype = jax.dtypes.canonicalize_dtype("float64" if backend == "finite_difference" else head.dtype)
        computing = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), explained)
        options = {"targets": parsed, "method": method, "backend": backend, "dtype": head.dtype}
        stacked = batched(functools.partial(_explain_batch, computing, **options), maps, size, dtype)
    found = jax.tree.map(in_dtype(head.dtype), stacked)
    check_explained([target.name for target in parsed], found.values, found.positive, found.negative)
    entries = [np.array(head.outputs[target.output]) for target in parsed]
    return Explanation(
        targets=tuple(target.name for target in parsed),
        positive=found.positive,
        negative=found.negative,
        values=found.values,
        columns=found.columns,
        labels=np.stack([own[np.asarray(found.columns[:, t])] for t, own in enumerate(entries)], axis=1),
        mixture=found.mixture,
        spaces=tuple(head.space(target.output) for target in parsed),
        vanished=np.asarray(found.vanished),
        method=method,
        backend=backend,
        scale_free=explained is not head,
    )


def default_batch_size(head: HybridHead, backend: str) -> int:
    """Return how many examples are taken at a time unless the caller says so."""
    if backend != "closed_form":
        return 4  # whole Jacobians, or a block of directions, for every example of a batch
    largest = max((leaf.size for leaf in jax.tree.leaves((head.pca, head.svms))), default=1)
    return max(1, min(LARGEST_BATCH, MOST_NUMBERS // largest))


def scale_free_head(head: HybridHead, targets: tuple[Target, ...], backend: str) -> HybridHead:
    """Return the head with scale-free RBF kernels in what the targets pass; the very head where there are none.

    Raises:
        InputError: another backend than the closed form, or a machine that has no scale-free form.
    """
    if backend != "closed_form":
        raise InputError(
            f"scale_free needs backend='closed_form', since the other backends derive the values; got {backend!r}."
        )
    wanted = {target.output for target in targets} - {"cnn"}
    relative = {name: relative_kernels(own) for name, own in head.svms.items() if name in wanted and _underflows(own)}
    reducer = relative_kernels(head.pca) if wanted and _underflows(head.pca) else head.pca
    if not relative and reducer is head.pca:
        return head
    return dataclasses.replace(head, pca=reducer, svms={**head.svms, **relative})


def _underflows(stage: Any) -> bool:
    return stage is not None and has_exponential_kernel(stage)


class Explained(NamedTuple):
    """What is found for one example, or for a batch."""

    positive: Float[Array, "*B T h w"]
    negative: Float[Array, "*B T h w"]
    values: Float[Array, "*B T"]
    columns: Int[Array, "*B T"]
    mixture: dict[str, Float[Array, "*B D"]]
    vanished: Bool[Array, "*B T"]


@functools.partial(jax.jit, static_argnames=("targets", "method", "backend", "dtype"))
def _explain_batch(head: HybridHead, maps: Array, **options: Any) -> Explained:
    return jax.vmap(functools.partial(explain_example, head, **options))(maps)


def explain_example(
    head: HybridHead, maps: Maps, *, targets: tuple[Target, ...], method: str, backend: str, dtype: Any = None
) -> Explained:
    """Return what is found for one example, for use under the caller's own jit and vmap.

    ``dtype`` is the one in which gradients may underflow, where the head itself computes in a wider one.
    """
    selection = Selection(columns_of(head, maps, targets), tuple(target.output for target in targets))
    positive, negative = METHODS[method](head, maps, selection, backend)
    values = head(maps)
    mixture = {} if head.pca is None else _mixture(head, values["pca"], targets, selection.columns, backend)
    narrow = in_dtype(head.dtype if dtype is None else dtype)
    gone = vanished(jax.tree.map(narrow, head), narrow(maps), selection)
    if backend == "finite_difference":
        gone |= unresolved(head, maps, selection)
    return Explained(positive, negative, selection.values(values), selection.columns, mixture, gone)


def _mixture(head: HybridHead, v: Vector, targets: tuple[Target, ...], columns: Array, backend: str) -> dict:
    weights = {t.output: jacobian(head.svms[t.output], v, backend=backend) for t in targets if t.output in head.svms}
    return {t.name: weights[t.output][columns[i]] for i, t in enumerate(targets) if t.output in head.svms}

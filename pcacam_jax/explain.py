"""From feature maps and targets to heatmaps: one forward pass and one pull-back for all targets of a batch."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pcacam_jax.batches import checked_batch, checked_batch_size, checked_maps, columns_of, filled, in_dtype
from pcacam_jax.cam import METHODS, Selection
from pcacam_jax.checks import check_choice
from pcacam_jax.head import HybridHead
from pcacam_jax.jacobian import BACKENDS, jacobian
from pcacam_jax.targets import Target, parse_targets
from pcacam_jax.types import Maps, Vector


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
    """The explained numbers: logits, components, class margins."""
    columns: Int[Array, "B T"]
    """The entry of its output that each target meant: the component, or the class, predicted or named."""
    labels: np.ndarray
    """The names of those entries, (B, T) strings."""
    mixture: dict[str, Float[Array, "B D"]]
    """For each SVM target ds/dv_r at each example: its signed map is exactly sum_r of these times L_r.

    Empty without a PCA.
    """
    method: str
    backend: str

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
) -> Explanation:
    """Return the heatmaps of ``targets`` on a batch of feature maps.

    Args:
        head: from :func:`pcacam_jax.hybrid_head` or a loaded run.
        maps: (B, h, w, K) feature maps at the tap, channels last, from any framework.
        targets: ``"pca"`` (all components), ``"pca:0"``, ``"cnn:3"``, ``"svm_rbf:predicted"``,
            ``"svm_rbf:<class name>"``, or a list of them.
        method: a name in :data:`pcacam_jax.cam.METHODS`.
        backend: where derivatives come from, a name in :data:`pcacam_jax.jacobian.BACKENDS`.
        batch_size: examples taken at a time, which bounds memory; by default 256, or 4 for the other backends.

    Raises:
        InputError: maps of another shape, NaN or infinite maps, an unknown target, method or backend.
    """
    if not isinstance(head, HybridHead):
        raise TypeError(f"head must be a HybridHead, from pcacam_jax.hybrid_head; got {type(head).__name__}.")
    check_choice("method", method, METHODS)
    check_choice("backend", backend, BACKENDS)
    parsed = parse_targets(head, targets)
    maps = checked_maps(head, maps)
    # The other backends hold whole Jacobians, or a block of directions, for every example of a batch.
    size = checked_batch_size(batch_size, len(maps), 256 if backend == "closed_form" else 4)
    # Central differences in float32 say little, so they are taken in float64 whatever the head computes in.
    with jax.enable_x64(True) if backend == "finite_difference" else contextlib.nullcontext():
        dtype = jax.dtypes.canonicalize_dtype("float64" if backend == "finite_difference" else head.dtype)
        computing = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), head)
        parts = []
        for start in range(0, len(maps), size):
            batch = checked_batch(maps[start : start + size], dtype, start)
            parts.append(_explain_batch(computing, filled(batch, size), parsed, method, backend))
        stacked = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[: len(maps)], *parts)
    positive, negative, values, columns, mixture = jax.tree.map(in_dtype(head.dtype), stacked)
    entries = [np.array(head.outputs[target.output]) for target in parsed]
    labels = np.stack([own[np.asarray(columns[:, t])] for t, own in enumerate(entries)], axis=1)
    names = tuple(target.name for target in parsed)
    return Explanation(names, positive, negative, values, columns, labels, mixture, method, backend)


@functools.partial(jax.jit, static_argnames=("targets", "method", "backend"))
def _explain_batch(head: HybridHead, maps: Array, targets: tuple[Target, ...], method: str, backend: str):
    one = functools.partial(explain_example, head, targets=targets, method=method, backend=backend)
    return jax.vmap(one)(maps)


def explain_example(head: HybridHead, maps: Maps, *, targets: tuple[Target, ...], method: str, backend: str) -> tuple:
    """Return L+, L-, values, columns and mixture of one example, for use under the caller's own jit and vmap."""
    selection = Selection(columns_of(head, maps, targets), tuple(target.output for target in targets))
    positive, negative = METHODS[method](head, maps, selection, backend)
    values = head(maps)
    mixture = {} if head.pca is None else _mixture(head, values["pca"], targets, selection.columns, backend)
    return positive, negative, selection.values(values), selection.columns, mixture


def _mixture(head: HybridHead, v: Vector, targets: tuple[Target, ...], columns: Array, backend: str) -> dict:
    weights = {t.output: jacobian(head.svms[t.output], v, backend=backend) for t in targets if t.output in head.svms}
    return {t.name: weights[t.output][columns[i]] for i, t in enumerate(targets) if t.output in head.svms}

"""From feature maps and targets to heatmaps: one forward pass and one pull-back for all targets of a batch."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pcacam_jax.cam import METHODS, Selection
from pcacam_jax.checks import InputError, check_choice, check_finite
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
    maps = _checked_maps(head, maps)
    size = _checked_batch_size(batch_size, len(maps), backend)
    # Central differences in float32 say little, so they are taken in float64 whatever the head computes in.
    with jax.enable_x64(True) if backend == "finite_difference" else contextlib.nullcontext():
        dtype = jax.dtypes.canonicalize_dtype("float64" if backend == "finite_difference" else head.dtype)
        computing = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), head)
        parts = []
        for start in range(0, len(maps), size):
            batch = _checked_batch(maps[start : start + size], dtype, start)
            parts.append(_explain_batch(computing, _filled(batch, size), parsed, method, backend))
        stacked = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[: len(maps)], *parts)
    positive, negative, values, columns, mixture = jax.tree.map(_in_dtype(head.dtype), stacked)
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
    selection = Selection(_columns(head, maps, targets), tuple(target.output for target in targets))
    positive, negative = METHODS[method](head, maps, selection, backend)
    values = head(maps)
    mixture = {} if head.pca is None else _mixture(head, values["pca"], targets, selection.columns, backend)
    return positive, negative, selection.values(values), selection.columns, mixture


def _columns(head: HybridHead, maps: Maps, targets: tuple[Target, ...]) -> Int[Array, " T"]:
    columns = jnp.asarray(np.array([0 if target.column is None else target.column for target in targets]))
    moving = [t for t, target in enumerate(targets) if target.column is None]
    if not moving:
        return columns
    predicted = head.predict(maps)
    return columns.at[np.array(moving)].set(
        jnp.stack([predicted[targets[t].output] for t in moving]).astype(columns.dtype)
    )


def _mixture(head: HybridHead, v: Vector, targets: tuple[Target, ...], columns: Array, backend: str) -> dict:
    weights = {t.output: jacobian(head.svms[t.output], v, backend=backend) for t in targets if t.output in head.svms}
    return {t.name: weights[t.output][columns[i]] for i, t in enumerate(targets) if t.output in head.svms}


def _checked_maps(head: HybridHead, maps: Any) -> Any:
    """Return the maps as they came, as an array; they are converted and checked batch by batch."""
    expected = head.in_shape
    if isinstance(maps, np.ma.MaskedArray):
        raise InputError("maps must not be a masked array, whose mask would be ignored; fill it first.")
    maps = maps if isinstance(maps, jax.Array) else np.asarray(maps)
    if maps.dtype.kind not in "fiub" and not jnp.issubdtype(maps.dtype, jnp.floating):
        raise InputError(f"maps must be real numbers; got the dtype {maps.dtype}.")
    if maps.ndim != 4 or maps.shape[1:] != expected or maps.shape[0] == 0:
        raise InputError(
            f"maps must have shape (B, {', '.join(map(str, expected))}), a batch with channels last; got {maps.shape}."
        )
    return maps


def _checked_batch(batch: Any, dtype: Any, start: int) -> Array:
    with np.errstate(over="ignore"):
        batch = jnp.asarray(batch, dtype)
    check_finite(f"maps[{start}:{start + len(batch)}]" if start else "maps", batch)
    return batch


def _in_dtype(dtype: Any) -> Callable[[Array], Array]:
    """Return the conversion of floats to ``dtype``; integers stay as they are."""
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    return lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def _checked_batch_size(batch_size: int | None, count: int, backend: str) -> int:
    if batch_size is None:
        # The others hold whole Jacobians, or a block of directions, for every example of a batch.
        return min(count, 256 if backend == "closed_form" else 4)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size must be an integer of at least 1; got {batch_size!r}.")
    return min(batch_size, count)


def _filled(batch: Array, size: int) -> Array:
    """Repeat the last example up to ``size``, so that a last short batch compiles nothing new."""
    return jnp.concatenate([batch, jnp.repeat(batch[-1:], size - len(batch), axis=0)])

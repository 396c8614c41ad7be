"""From feature maps and targets to heatmaps: one forward pass and one pull-back for all targets of a batch."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pcacam_jax.cam import METHODS, Selection
from pcacam_jax.checks import InputError, check_choice, check_finite
from pcacam_jax.head import HybridHead
from pcacam_jax.jacobian import BACKENDS, jacobian
from pcacam_jax.targets import Target, parse_targets
from pcacam_jax.types import Maps


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
    """For each SVM target ds/dv_r at each example: the SVM's signed map is exactly sum_r of these times L_r."""
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
        batch_size: examples taken at a time; all of them by default.

    Raises:
        InputError: maps of another shape, NaN or infinite maps, an unknown target, method or backend.
    """
    check_choice("method", method, METHODS)
    check_choice("backend", backend, BACKENDS)
    parsed = parse_targets(head, targets)
    maps = _checked_maps(head, maps)
    size = _checked_batch_size(batch_size, len(maps))
    batches = [maps[start : start + size] for start in range(0, len(maps), size)]
    parts = [_explain_batch(head, _filled(batch, size), parsed, method, backend) for batch in batches]
    stacked = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[: len(maps)], *parts)
    positive, negative, values, columns, mixture = stacked
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
    predicted = head.predict(maps)
    columns = jnp.array([predicted[t.output] if t.column is None else t.column for t in targets])
    selection = Selection(columns, tuple(target.output for target in targets))
    positive, negative = METHODS[method](head, maps, selection, backend)
    values = selection.values(head(maps))
    return positive, negative, values, columns, _mixture(head, maps, targets, columns, backend)


def _mixture(head: HybridHead, maps: Maps, targets: tuple[Target, ...], columns: Array, backend: str) -> dict:
    if head.pca is None:
        return {}
    v = head(maps)["pca"]
    weights = {t.output: jacobian(head.svms[t.output], v, backend=backend) for t in targets if t.output in head.svms}
    return {t.name: weights[t.output][columns[i]] for i, t in enumerate(targets) if t.output in head.svms}


def _checked_maps(head: HybridHead, maps) -> Array:
    expected = head.in_shape
    shape = tuple(np.shape(maps))
    if len(shape) != 4 or shape[1:] != expected or shape[0] == 0:
        raise InputError(
            f"maps must have shape (B, {', '.join(map(str, expected))}), a batch with channels last; got {shape}."
        )
    with np.errstate(over="ignore"):
        maps = jnp.asarray(maps, head.dtype)
    check_finite("maps", maps)
    return maps


def _checked_batch_size(batch_size: int | None, count: int) -> int:
    if batch_size is None:
        return count
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1; got {batch_size}.")
    return min(batch_size, count)


def _filled(batch: Array, size: int) -> Array:
    """Repeat the last example up to ``size``, so that a last short batch compiles nothing new."""
    return jnp.concatenate([batch, jnp.repeat(batch[-1:], size - len(batch), axis=0)])

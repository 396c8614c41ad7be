"""Relevance of every cell of the maps to each target, on which Relevance-CAM rests.

Relevance-CAM (Lee et al. 2021) passes relevance from the target down to the tap with layer-wise relevance propagation
(LRP, Bach et al. 2015) and the z+ rule (alpha = 1, beta = 0; Montavon et al. 2017).

| part | rule |
|---|---|
| start, logits | 1 at the class, -1 / (N - 1) at the N - 1 others (contrastive); the authors' code divides by N |
| start, components and SVM outputs | 1 at the entry, 0 elsewhere; class margins contrast the classes themselves |
| evidence against | the same start with the last affine rows negated |
| dense and affine layers, PCA | z+: ``R_i = sum_j (x_i w_ij)^+ / sum_i (x_i w_ij)^+ R_j`` |
| bias, center | not in the sums, so that they take no relevance |
| SVM outputs | one layer from ``x_m``: z+ with DeepLIFT's multipliers as w and ``x_m - x_m(0)`` as x |
| activation, scaler, power transform, selection | the relevance of an output goes to its only input |
| kernel PCA | z+ with DeepLIFT's multipliers as w and the change from maps of zeros as x |
| max-pool, average | the maximum of each window; in proportion to the cells |

An SVM, its scaler and the PCA before it form one layer, because no activation lies between. Its parts are the
contributions of ``x_m`` in LIFT-CAM. If relevance went through the components one by one, it would depend on the basis
of the components, although the decision of a linear or RBF SVM does not. It would also be lost where no component has
the right sign.

A unit may be negative, as components are. Its relevance is kept in two parts: ``up`` supports the target by a high
value of the unit, ``down`` by a low value. In z+ the part ``up`` goes to inputs with ``x_i w_ij > 0``, and ``down`` to
inputs with ``x_i w_ij < 0``. The relevance of an input is ``up`` where ``x_i > 0`` and ``down`` where ``x_i < 0``. On
nonnegative layers there is only ``up``, and this is the published rule. The sign of the last affine rows is the same
choice: evidence against a target starts in ``down``. An activation with a negative slope exchanges the two.

The sum of the relevance is conserved, except at units without an input of the right sign, whose relevance is lost.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pcacam_jax.cam.backward import stacked, through_chain, through_parallel, without_rule
from pcacam_jax.cam.secants import secant_pull_back
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Maps, Rows, Stage, Vector
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection
from pcacam_jax.stages import (
    Affine,
    Dense,
    Elementwise,
    Flatten,
    GlobalAverage,
    MaxPool,
    Power,
    Scaling,
    Take,
)
from pcacam_jax.stages.activation import activation_named
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.kernel_expansion import Expansion
from pcacam_jax.stages.parallel import Parallel


class Relevance(NamedTuple):
    """The relevance of units to T targets."""

    up: Rows
    """What supports a target by a high value of the unit, ``(T, *units)``."""
    down: Rows
    """What supports a target by a low value of the unit, ``(T, *units)``."""


def relevance(head: HybridHead, maps: Maps, selection: Selection, sign: int = 1) -> Float[Array, "T *space K"]:
    """Return the relevance of every cell of the maps to each target, by the z+ rule (Lee et al. 2021).

    Args:
        head: the head.
        maps: the maps of one example, ``(*space, K)``.
        selection: the T targets.
        sign: 1 for the evidence for the targets, -1 for the evidence against them.

    Returns:
        The relevance, ``(T, *space, K)``. It has no unit: it divides up the start, which is 1 at the target.

    Raises:
        InputError: a stage between a target and the maps has no rule, or ``sign`` is neither 1 nor -1.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import hybrid_head
        >>> from pcacam_jax.cam.relevance import relevance
        >>> from pcacam_jax.head.targets import Selection
        >>> head = hybrid_head([(jnp.array([[3.0], [1.0], [-2.0]]), jnp.ones(1))], maps_shape=(1, 3, 1))
        >>> maps, target = jnp.ones((1, 3, 1)), Selection(jnp.array([0]), ("cnn",))
        >>> relevance(head, maps, target)[0, 0, :, 0].tolist()
        [0.75, 0.25, 0.0]
        >>> relevance(head, maps, target, sign=-1)[0, 0, :, 0].tolist()
        [0.0, 0.0, 1.0]
    """
    if sign not in (1, -1):
        raise InputError(f"sign must be 1, for the evidence for a target, or -1, for that against it; got {sign!r}.")
    zeros = jnp.zeros(maps.shape, maps.dtype)
    x_m, reference = head.trunk(maps), head.trunk(zeros)
    rows, blocks = selection.rows(head), []
    if "cnn" in rows:
        blocks.append(relevance_pull_back(head.cnn, x_m, reference, _start(_contrasted(rows["cnn"]), sign)))
    if "pca" in rows:
        blocks.append(relevance_pull_back(head.pca, x_m, reference, _start(rows["pca"], sign)))
    for name in head.svm_names:
        if name in rows:
            multipliers = _svm_multipliers(head, name, x_m, reference, rows[name])
            blocks.append(
                z_plus(multipliers, x_m - reference, _start(jnp.eye(len(multipliers), dtype=x_m.dtype), sign))
            )
    result = relevance_pull_back(head.trunk, maps, zeros, stacked(blocks))
    return selection.in_order(head, result.up + result.down)


def _contrasted(entries: Rows) -> Rows:
    others = max(entries.shape[1] - 1, 1)
    return entries - (1 - entries) / others


def _start(rows: Rows, sign: int) -> Relevance:
    nothing = jnp.zeros_like(rows)
    return Relevance(rows, nothing) if sign == 1 else Relevance(nothing, rows)


def _svm_multipliers(head: HybridHead, name: str, x_m: Vector, reference: Vector, rows: Rows) -> Float[Array, "T d_m"]:
    if head.pca is None:
        return secant_pull_back(head.svms[name], x_m, reference, rows)
    on_components = secant_pull_back(head.svms[name], head.pca(x_m), head.pca(reference), rows)
    return secant_pull_back(head.pca, x_m, reference, on_components)


def z_plus(weights: Float[Array, "out d"], x: Vector, relevance: Relevance) -> Relevance:
    """Divide the relevance of units ``sum_i w_ji x_i`` among their inputs, in proportion to the parts of one sign.

    Args:
        weights: w, ``(out, d)``.
        x: the inputs, ``(d,)``.
        relevance: the relevance of the units, ``(T, out)``.

    Returns:
        The relevance of the inputs, ``(T, d)``.
    """
    positive, negative = jax.nn.relu(weights), jax.nn.relu(-weights)
    above, below = jax.nn.relu(x), jax.nn.relu(-x)
    up = _per_unit(relevance.up, matmul(positive, above) + matmul(negative, below))
    down = _per_unit(relevance.down, matmul(negative, above) + matmul(positive, below))
    return Relevance(
        above[None] * (matmul(up, positive) + matmul(down, negative)),
        below[None] * (matmul(up, negative) + matmul(down, positive)),
    )


def _per_unit(relevance: Rows, total: Float[Array, " out"]) -> Rows:
    """Return the relevance divided by the sum of the parts, 0 where there are none."""
    limits = jnp.finfo(total.dtype)
    # The quotient by a smaller sum could overflow.
    divides = total > limits.tiny / limits.eps
    return jnp.where(divides[None], relevance / jnp.where(divides, total, 1)[None], 0)


@functools.singledispatch
def relevance_pull_back(stage: Stage, x: Array, reference: Array, relevance: Relevance) -> Relevance:
    """Pass relevance from the output of a stage to its input; a rule of :mod:`.backward`.

    Raises:
        InputError: the stage has no rule.
    """
    raise without_rule(stage)


relevance_pull_back.register(Chain, functools.partial(through_chain, relevance_pull_back))
relevance_pull_back.register(Parallel, functools.partial(through_parallel, relevance_pull_back))


@relevance_pull_back.register(Flatten)
@relevance_pull_back.register(MaxPool)
@relevance_pull_back.register(Take)
def _routed(stage: Stage, x: Array, reference: Array, relevance: Relevance) -> Relevance:
    _, saved = stage.forward(x)
    return Relevance(stage.pull_back(saved, relevance.up), stage.pull_back(saved, relevance.down))


@relevance_pull_back.register
def _average(stage: GlobalAverage, x: Maps, reference: Maps, relevance: Relevance) -> Relevance:
    parts = []
    for rows, cells in zip(relevance, (jax.nn.relu(x), jax.nn.relu(-x)), strict=True):
        per_map = _per_unit(rows, jnp.sum(cells, axis=tuple(range(x.ndim - 1))))
        parts.append(cells[None] * jnp.expand_dims(per_map, tuple(range(1, x.ndim))))
    return Relevance(*parts)


@relevance_pull_back.register
def _power(stage: Power, x: Vector, reference: Vector, relevance: Relevance) -> Relevance:
    return relevance  # power transforms increase


@relevance_pull_back.register
def _scaling(stage: Scaling, x: Vector, reference: Vector, relevance: Relevance) -> Relevance:
    return _exchanged(relevance, stage.scale < 0)


@relevance_pull_back.register
def _elementwise(stage: Elementwise, x: Vector, reference: Vector, relevance: Relevance) -> Relevance:
    return _exchanged(relevance, activation_named(stage.name).derivative(x) < 0)


@relevance_pull_back.register
def _dense(stage: Dense, x: Vector, reference: Vector, relevance: Relevance) -> Relevance:
    falls = activation_named(stage.activation).derivative(stage.preactivation(x)) < 0
    return z_plus(stage.kernel.T, x, _exchanged(relevance, falls))


def _exchanged(relevance: Relevance, where: Bool[Array, " d"]) -> Relevance:
    up, down = relevance
    return Relevance(jnp.where(where[None], down, up), jnp.where(where[None], up, down))


@relevance_pull_back.register
def _affine(stage: Affine, x: Vector, reference: Vector, relevance: Relevance) -> Relevance:
    return z_plus(stage.matrix, x, relevance)


@relevance_pull_back.register
def _kernels(stage: Expansion, x: Vector, reference: Vector, relevance: Relevance) -> Relevance:
    multipliers = secant_pull_back(stage, x, reference, jnp.eye(relevance.up.shape[1], dtype=x.dtype))
    return z_plus(multipliers, x - reference, relevance)

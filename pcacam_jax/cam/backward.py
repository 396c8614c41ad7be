"""Backward passes through a head by a rule for each stage that is not the derivative, such as DeepLIFT's or LRP's.

A rule is a function ``(stage, x, reference, rows)``. ``x`` and ``reference`` are the stage's inputs for the maps and
for reference maps of zeros. ``rows`` belong to the stage's output, ``(T, *out)``, in one array or in a pytree of
arrays. The rule returns rows that belong to the stage's input, ``(T, *in)``.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages import Normalise, OvrDecision, Softmax
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.parallel import Parallel

Rule = Callable[[Any, Array, Array, Any], Any]

GRADIENTS = 'use a method of gradients, such as method="hirescam"'
ADVICE: dict[type, str] = {
    Softmax: f'explain scores before the softmax, such as those of output="decision", or {GRADIENTS}',
    OvrDecision: 'explain the class margins, which hold no votes, as output="margin"',
    Normalise: f"{GRADIENTS}, or fit without the normalisation",
}
"""What to do where a stage has no rule, by type of stage."""


def through_head(rule: Rule, head: HybridHead, x: Array, reference: Array, rows: dict[str, Any]) -> Any:
    """Pass rows from outputs of a head back to its input, stacked in the order of the head's outputs.

    Args:
        rule: the rule.
        head: the head.
        x: the input of one example, such as maps ``(*space, K)``.
        reference: the reference input, of the same shape.
        rows: rows ``(T_o, size of output o)`` for each requested output o.

    Returns:
        The rows on the input, ``(T, *space, K)``.

    Raises:
        InputError: a stage between the outputs and the input has no rule.
    """
    x_m = head.trunk(x), head.trunk(reference)
    v = x_m if head.pca is None else (head.pca(x_m[0]), head.pca(x_m[1]))
    blocks = [rule(head.cnn, *x_m, rows["cnn"])] if "cnn" in rows else []
    on_v = [rows["pca"]] if "pca" in rows else []
    on_v += [rule(head.svms[name], *v, rows[name]) for name in head.svm_names if name in rows]
    if on_v:
        blocks.append(stacked(on_v) if head.pca is None else rule(head.pca, *x_m, stacked(on_v)))
    return rule(head.trunk, x, reference, stacked(blocks))


def through_chain(rule: Rule, chain: Chain, x: Array, reference: Array, rows: Any) -> Any:
    """Pass rows back through the stages of a chain, from the last to the first."""
    inputs = []
    for stage in chain.stages:
        inputs.append((stage, x, reference))
        x, reference = stage(x), stage(reference)
    for stage, x, reference in reversed(inputs):
        rows = rule(stage, x, reference, rows)
    return rows


def through_parallel(rule: Rule, parallel: Parallel, x: Array, reference: Array, rows: Any) -> Any:
    """Pass to each parallel stage the rows of its outputs back, and add up."""
    parts, start = [], 0
    for stage in parallel.stages:
        outputs = slice(start, start + len(stage(x)))
        parts.append(rule(stage, x, reference, jax.tree.map(lambda block, part=outputs: block[:, part], rows)))
        start = outputs.stop
    return jax.tree.map(lambda *blocks: sum(blocks[1:], blocks[0]), *parts)


def without_rule(stage: Stage) -> InputError:
    """Return the error for a stage that has no rule."""
    name = type(stage).__name__
    return InputError(f"liftcam and relevancecam have no rule for {name}; {ADVICE.get(type(stage), GRADIENTS)}.")


def stacked(blocks: list[Any]) -> Any:
    """Return the rows of several outputs one after another."""
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *blocks)

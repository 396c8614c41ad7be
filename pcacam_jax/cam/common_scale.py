"""One scale for all parts of a derivative that is free of scale: so they add up to the derivative of their sum."""

import dataclasses
from typing import Any

from jaxtyping import Array, Float

from pcacam_jax.cam.kernel_machine import Machine
from pcacam_jax.core.types import Rows, Stage
from pcacam_jax.head.hybrid import HeadByProducts, HybridHead
from pcacam_jax.stages import KernelExpansion
from pcacam_jax.stages.chain import Chain


def below_at_one_scale(
    head: HybridHead, saved: HeadByProducts, machine: Machine, before: Any, row: Float[Array, "1 d"]
) -> tuple[HybridHead, HeadByProducts, Machine, Any]:
    """Return all that lies below the machine's kernel, with by-products at the scale of one row on what it reads."""
    first, before, row = at_one_scale(machine.before, before, row)
    if head.pca is not None:
        pca, by_products, _ = at_one_scale(head.pca, saved.pca, row)
        head, saved = dataclasses.replace(head, pca=pca), saved._replace(pca=by_products)
    return head, saved, dataclasses.replace(machine, before=first), before


def at_one_scale(stage: Stage, saved: Any, row: Float[Array, "1 out"]) -> tuple[Any, Any, Rows]:
    """Return the plain form of a relative stage, by-products that scale all rows as ``row``, and that row pulled back.

    A stage that is not relative comes back as it is, and so does one that holds its expansion otherwise than in chains.
    """
    if isinstance(stage, Chain):
        parts: list[tuple[Any, Any]] = []
        for own, by_products in zip(reversed(stage.stages), reversed(saved), strict=True):
            own, by_products, row = at_one_scale(own, by_products, row)
            parts.insert(0, (own, by_products))
        return Chain(tuple(own for own, _ in parts)), tuple(own for _, own in parts), row
    if isinstance(stage, KernelExpansion) and stage.relative:
        stage, saved = dataclasses.replace(stage, relative=False), stage.at_one_scale(saved, row)
    return stage, saved, stage.pull_back(saved, row)

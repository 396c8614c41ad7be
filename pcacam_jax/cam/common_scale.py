"""One common scale for all terms of a scale-free gradient, so that the terms still sum to the gradient of the whole.

A relative kernel expansion divides each row of a derivative by a scale of its own. Terms that are pulled back
separately would then have different scales, and their sum would be wrong.
"""

import dataclasses
from typing import Any

from jaxtyping import Array, Float

from pcacam_jax.cam.kernel_machine import KernelMachine
from pcacam_jax.core.types import Rows, Stage
from pcacam_jax.head.hybrid import HeadResiduals, HybridHead
from pcacam_jax.stages import KernelExpansion
from pcacam_jax.stages.chain import Chain


def rescaled_below_kernel(
    head: HybridHead, saved: HeadResiduals, svm: KernelMachine, scaler_saved: Any, row: Float[Array, "1 d"]
) -> tuple[HybridHead, HeadResiduals, KernelMachine, Any]:
    """Rescale everything between ``x_m`` and the kernel of the SVM for one row, the gradient at the kernel's input.

    Returns:
        The head, its residuals, the SVM and the residuals of its scaler, see :func:`rescaled_for`.
    """
    scaler, scaler_saved, row = rescaled_for(svm.scaler, scaler_saved, row)
    if head.pca is not None:
        pca, pca_saved, _ = rescaled_for(head.pca, saved.pca, row)
        head, saved = dataclasses.replace(head, pca=pca), saved._replace(pca=pca_saved)
    return head, saved, dataclasses.replace(svm, scaler=scaler), scaler_saved


def rescaled_for(stage: Stage, saved: Any, row: Float[Array, "1 out"]) -> tuple[Any, Any, Rows]:
    """Return (stage with ``relative=False``, ``saved`` rescaled for ``row``, ``row`` pulled back through it).

    A stage that is not relative is returned unchanged. So is a stage whose expansion is nested in anything but chains.
    """
    if isinstance(stage, Chain):
        pairs: list[tuple[Any, Any]] = []
        for link, residuals in zip(reversed(stage.stages), reversed(saved), strict=True):
            link, residuals, row = rescaled_for(link, residuals, row)
            pairs.insert(0, (link, residuals))
        return Chain(tuple(link for link, _ in pairs)), tuple(residuals for _, residuals in pairs), row
    if isinstance(stage, KernelExpansion) and stage.relative:
        stage, saved = dataclasses.replace(stage, relative=False), stage.scaled_gradients(saved, row)
    return stage, saved, stage.pull_back(saved, row)

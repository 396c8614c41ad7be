"""Comparison of the PCA and the SVMs of a head with their estimators."""

from collections.abc import Iterator, Mapping

from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.scikit.precision import X64, Comparison, Probes, compare, is_rounded, probes_of, x64_is_enabled
from pcacam_jax.scikit.steps import Estimator


def precision_warnings(head: HybridHead, pca: Estimator | None, svms: Mapping[str, Estimator]) -> Iterator[str]:
    """Yield a message for each estimator of a head whose values need more digits than the head computes with.

    Half of the points at which an SVM is compared are the components of the points at which the PCA is compared, so
    that errors of the components count.
    """
    components: Probes | None = None
    if pca is not None and head.pca is not None and is_rounded(head.pca):
        result = compare(pca, head.pca, "transform", probes_of(pca, head.pca))
        if result is not None:
            components = result.values
            numbers = [f"component {number + 1}" for number in range(result.values.exact.shape[1])]
            yield from _messages(result, "pca", numbers, head)
    for name, svm in svms.items():
        space = head.space(name)
        if is_rounded(head.svms[name]):
            result = compare(svm, head.svms[name], space, probes_of(svm, head.svms[name], components))
            yield from _messages(result, name, [f"{name}:{entry}" for entry in head.outputs[name]], head)


def _messages(result: Comparison | None, name: str, entries: list[str], head: HybridHead) -> Iterator[str]:
    message = None if result is None else result.message(name, entries, _advice(head))
    if message is not None:
        yield message


def _advice(head: HybridHead) -> str:
    kernels = "give the dense layers in float64" if head.cnn is not None else ""
    x64 = "" if x64_is_enabled() else f"call {X64} before you build the head"
    return " and ".join(part for part in (x64, kernels) if part)

"""The figure of all CAM methods on one image, with what each of them answers."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pcacam_jax import plots
from pcacam_jax.cam.methods import METHODS, cam_method
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import parse_targets


def defined_methods(head: HybridHead, targets: str | Sequence[str]) -> list[str]:
    """Return the names of the CAM methods that have a map of all these targets, in the order of the table.

    Args:
        head: a head.
        targets: as in :func:`pcacam_jax.explain`.

    Raises:
        InputError: a target is unknown.
    """
    parsed, names = parse_targets(head, targets), []
    for name, method in METHODS.items():
        try:
            if method.check is not None:
                method.check(head, parsed)
        except InputError:
            continue
        names.append(name)
    return names


def method_figure(image: ArrayLike, explanations: Sequence[Explanation], **options: Any) -> Figure:
    """Return :func:`pcacam_jax.plots.method_gallery` with the sentences of the table of methods.

    Args:
        image: the image, (H, W, 3) uint8.
        explanations: one explanation per method.
        **options: further arguments of the gallery.
    """
    methods = {name: cam_method(name) for name in dict.fromkeys(each.method for each in explanations)}
    answers = {name: method.answers for name, method in methods.items()}
    two_passes = [name for name, method in methods.items() if method.passes == 2]
    return plots.method_gallery(image, explanations, answers=answers, two_passes=two_passes, **options)

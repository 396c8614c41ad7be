"""SmoothGrad: the mean of a method's map over noisy images (Smilkov et al. 2017)."""

import dataclasses
from typing import Any, NamedTuple

from jaxtyping import Array, Float

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.method import Method, Result
from pcacam_jax.core.checks import InputError


class Means(NamedTuple):
    """The means of a method's statistics over noisy images, and their standard errors."""

    mean: Any
    standard_error: Any


def smooth(method: Method) -> Method:
    """Return the mean of a method's signed map, before any ReLU, over noisy images.

    Args:
        method: an entry of :data:`pcacam_jax.cam.methods.METHODS` that does not need images itself.

    Raises:
        InputError: the method needs images itself.

    Example:
        >>> from pcacam_jax.cam.methods import METHODS
        >>> from pcacam_jax.cam.smooth import smooth
        >>> smooth(METHODS["hirescam"]).name
        'smooth(hirescam)'
    """
    if method.needs == "images":
        raise InputError(f"smooth(...) needs a method that does not change images itself; got {method.name!r}.")
    return dataclasses.replace(
        method,
        name=f"smooth({method.name})",
        paper=f"{method.paper}; Smilkov et al. 2017",
        formula=f"mean over noisy images of {method.formula}",
        answers=f"{method.answers}; mean over noisy images",
        function=mean_map,
        statistics=heatmaps,
        needs="images",
        linear="target" if method.linear else "",
        homogeneous=False,
        options=(("method", method),),
    )


def heatmaps(example: Example, key: Array, *, method: Method) -> tuple[Float[Array, "T *space"], ...]:
    """Return the map of each pass of a method, before any ReLU."""
    return tuple(method.result(example, sign, key).heatmap for sign in (1, -1)[: method.passes])


def mean_map(example: Example, sign: int, means: Means, *, method: Method) -> Result:
    """Return the mean of the maps."""
    index = 0 if sign > 0 or method.passes == 1 else 1
    factor = sign if method.passes == 1 else 1
    return Result(factor * means.mean[index], standard_errors=means.standard_error[index])

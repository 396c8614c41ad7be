"""Backbones: what gives the feature maps of images, for the CAM methods that change images."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A function from images to feature maps, in two steps, between which noise is added and masks are multiplied.

    Args:
        preprocess: from images as the user has them, ``(B, *size, C)``, to the network's input.
        maps: from the network's input, ``(B, *size, C)``, to the maps at the tap, ``(B, *space, K)``. It may call any
            framework.
        value_range: the smallest and the largest value of the network's input; noise is a fraction of their difference.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.nets.backbone import Backbone
        >>> backbone = Backbone(lambda images: images / 255, lambda x: x[:, ::2, ::2], (0.0, 1.0))
        >>> backbone(np.full((1, 4, 4, 3), 51.0)).shape
        (1, 2, 2, 3)
    """

    preprocess: Callable[[Any], Float[Array, "B *size C"]]
    maps: Callable[[Float[Array, "B *size C"]], Float[Array, "B *space K"]]
    value_range: tuple[float, float]

    def __call__(self, images: Any) -> Float[Array, "B *space K"]:
        """Return the maps of images."""
        return self.maps(self.preprocess(images))


def vgg16_backbone(
    params: Mapping[str, Any], *, tap: str = "block5_pool", scaling: str = "caffe", dtype: str = "float32"
) -> Backbone:
    """Return VGG16 up to a tap as a backbone for images ``(B, H, W, 3)`` with values in 0..255.

    Args:
        params: the parameters, see :func:`pcacam_jax.nets.vgg16.features`.
        tap: the layer whose maps are returned.
        scaling: "caffe" or "unit", see :func:`pcacam_jax.nets.vgg16.preprocess`.
        dtype: the dtype of the computation, "float32", "tensorfloat32" or "bfloat16", see
            :func:`pcacam_jax.nets.vgg16.features`.

    Raises:
        InputError: a parameter is missing or has a wrong shape, or an option is unknown.
    """
    from pcacam_jax.nets import vgg16  # imports flax

    vgg16.check_params(params, tap)
    network = vgg16.VGG16(tap=tap, dtype=vgg16.check_dtype(dtype))

    @jax.jit
    def maps(images: Array) -> Array:
        return jax.numpy.asarray(network.apply({"params": params}, images)).astype("float32")

    return Backbone(lambda images: vgg16.preprocess(images, scaling), maps, vgg16.value_range(scaling))

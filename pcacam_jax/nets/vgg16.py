"""VGG16's convolutional base: images ``(B, H, W, 3)`` to the feature maps ``(B, h, w, K)`` of a layer, the tap.

The base has thirteen 3x3 convolutions with ReLU in five blocks, and a 2x2 max pooling after each block. The layer names
are those of Keras. As in Keras, pooling drops the last row or column of an odd size.
"""

import re
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pcacam_jax.core.checks import SMALLEST_SIZE, InputError, check_choice, check_shape

Params = Mapping[str, Mapping[str, jax.Array]]

SCALINGS = ("caffe", "unit")
PRECISIONS = {"float32": jax.lax.Precision.HIGHEST, "tensorfloat32": jax.lax.Precision.DEFAULT, "bfloat16": None}
"""How the factors of products are rounded, by the dtype of the computation.

By default, accelerators round the factors of a float32 product, for instance to TensorFloat-32 (TF32, 10 bits).
"""
# The mean colour of ImageNet as the published weights expect it: in the channel order blue, green, red.
CAFFE_MEAN = (103.939, 116.779, 123.68)

_BLOCKS = {1: (64, 2), 2: (128, 2), 3: (256, 3), 4: (512, 3), 5: (512, 3)}
# Number of channels by layer name, in the order of the forward pass.
_CHANNELS = {
    f"block{block}_{layer}": channels
    for block, (channels, depth) in _BLOCKS.items()
    for layer in (*(f"conv{i + 1}" for i in range(depth)), "pool")
}
TAPS = tuple(_CHANNELS)


class VGG16(nn.Module):
    """VGG16's layers up to ``tap``: preprocessed images ``(B, H, W, 3)`` to maps ``(B, h, w, K)``.

    Attributes:
        tap: the last layer, one of ``TAPS``; the maps of a convolution are taken after its ReLU.
        dtype: the dtype of the computation, one of ``PRECISIONS``.
    """

    tap: str = "block5_pool"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w K"]:
        """Return the maps at the tap."""
        dtype, precision = jnp.bfloat16 if self.dtype == "bfloat16" else jnp.float32, PRECISIONS[self.dtype]
        maps = images
        for name in _layers_up_to(self.tap):
            if name.endswith("pool"):
                maps = nn.max_pool(maps, (2, 2), strides=(2, 2))
            else:
                convolution = nn.Conv(_CHANNELS[name], (3, 3), dtype=dtype, precision=precision, name=name)
                maps = nn.relu(convolution(maps))
        return maps


def features(
    params: Params,
    images: Shaped[Array, "B H W *channels"] | np.ndarray,
    *,
    tap: str = "block5_pool",
    scaling: str = "caffe",
    dtype: str | np.dtype = "float32",
) -> Float[Array, "B h w K"]:
    """Return VGG16's feature maps at ``tap`` for RGB or grey images with values in 0..255.

    The function is pure. Compile it with ``jax.jit`` and ``static_argnames=("tap", "scaling", "dtype")``.

    Args:
        params: ``{"block1_conv1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, ...}``, at least up to the tap.
        images: ``(B, H, W)``, ``(B, H, W, 1)`` or ``(B, H, W, 3)``, integers or floats.
        tap: the layer whose maps are returned, one of ``TAPS``.
        scaling: ``"caffe"`` for the published weights or ``"unit"``; see ``preprocess``.
        dtype: the dtype of the computation: float32; tensorfloat32, which is float32 with factors of 10 bits in all
            products, on NVIDIA GPUs since Ampere; or bfloat16, which is fastest and keeps two to three significant
            digits.

    Returns:
        The maps, ``(B, h, w, K)`` float32, with the ``(h, w, K)`` of ``maps_shape``.

    Raises:
        InputError: if the images have a wrong shape or dtype or a side under 32, a parameter is missing or has a wrong
            shape, an option is unknown, or the device does not have the dtype.
    """
    dtype = check_dtype(dtype)
    images = _checked_images(images)
    maps_shape(images.shape[1:3], tap)
    check_params(params, tap)
    maps = VGG16(tap=tap, dtype=dtype).apply({"params": params}, preprocess(images, scaling))
    return jnp.asarray(maps).astype(jnp.float32)


def check_dtype(dtype: str | np.dtype) -> str:
    """Return the name of a dtype of the computation.

    Raises:
        InputError: it is unknown, or JAX's default device does not have it.
    """
    name = check_choice("dtype", dtype if isinstance(dtype, str) else jnp.dtype(dtype).name, PRECISIONS)
    if available_dtype(name) != name:
        raise InputError(
            f"tensorfloat32 needs an NVIDIA GPU with compute capability 8.0 or higher; JAX computes on "
            f"{jax.devices()[0].device_kind}; choose float32 or bfloat16."
        )
    return name


def available_dtype(dtype: str) -> str:
    """Return the dtype, or float32, which is more exact, in place of a tensorfloat32 that the device does not have."""
    device = jax.devices()[0]
    capability = re.fullmatch(r"(\d+)\.\d+", str(getattr(device, "compute_capability", "")))
    has_it = device.platform == "gpu" and capability is not None and int(capability[1]) >= 8
    return "float32" if dtype == "tensorfloat32" and not has_it else dtype


def preprocess(images: Shaped[Array, "B H W *channels"] | np.ndarray, scaling: str) -> Float[Array, "B H W 3"]:
    """Return RGB or grey images in 0..255 as the input of ``VGG16``.

    Args:
        images: ``(B, H, W)``, ``(B, H, W, 1)`` or ``(B, H, W, 3)``, integers or floats. Grey images are repeated over
            the three channels. Floats in 0..1 must be multiplied by 255 first.
        scaling: ``"caffe"`` reverses the channels to BGR and subtracts the mean colour, as in the training of the
            published weights; ``"unit"`` divides by 255.

    Returns:
        The scaled images, ``(B, H, W, 3)`` float32.

    Raises:
        InputError: if the images have a wrong shape or dtype, or the scaling is unknown.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.nets.vgg16 import preprocess
        >>> pixel = preprocess(np.full((1, 1, 1, 3), 255, np.uint8), "caffe")[0, 0, 0]
        >>> [round(float(value), 2) for value in pixel]
        [151.06, 138.22, 131.32]
    """
    check_choice("scaling", scaling, SCALINGS)
    images = jnp.asarray(_checked_images(images)).astype(jnp.float32)
    if images.ndim == 3:
        images = images[..., None]
    images = jnp.broadcast_to(images, (*images.shape[:3], 3))
    if scaling == "unit":
        return images / 255
    return images[..., ::-1] - jnp.asarray(CAFFE_MEAN, jnp.float32).reshape(1, 1, 1, 3)


def value_range(scaling: str) -> tuple[float, float]:
    """Return the smallest and the largest value of preprocessed images."""
    if check_choice("scaling", scaling, SCALINGS) == "unit":
        return 0.0, 1.0
    return -max(CAFFE_MEAN), 255 - min(CAFFE_MEAN)


def maps_shape(size: tuple[int, ...], tap: str = "block5_pool") -> tuple[int, int, int]:
    """Return the shape ``(h, w, K)`` of the maps at ``tap``.

    Args:
        size: the height and width ``(H, W)`` of the images in pixels.
        tap: one of ``TAPS``.

    Raises:
        InputError: if the tap is unknown or a side is under 32, for which the fifth pooling would leave no position.

    Example:
        >>> from pcacam_jax.nets.vgg16 import maps_shape
        >>> maps_shape((224, 224)), maps_shape((96, 96), "block5_conv3")
        ((7, 7, 512), (6, 6, 512))
    """
    names = _layers_up_to(tap)
    height, width = size
    if min(height, width) < SMALLEST_SIZE:
        raise InputError(
            f"images must be at least {SMALLEST_SIZE} x {SMALLEST_SIZE} pixels for VGG16; got {height} x {width}; "
            "resize them first."
        )
    pools = sum(name.endswith("pool") for name in names)
    return height >> pools, width >> pools, _CHANNELS[tap]


def param_shapes(tap: str = "block5_pool") -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the shapes of the parameters of the layers up to ``tap``, nested like the parameters."""
    shapes, channels_in = {}, 3
    for name in _layers_up_to(tap):
        if not name.endswith("pool"):
            shapes[name] = {"kernel": (3, 3, channels_in, _CHANNELS[name]), "bias": (_CHANNELS[name],)}
            channels_in = _CHANNELS[name]
    return shapes


def check_params(params: Params, tap: str = "block5_pool") -> None:
    """Raise an ``InputError`` that names the layer if a parameter up to ``tap`` is missing or has a wrong shape."""
    for layer, shapes in param_shapes(tap).items():
        for part, shape in shapes.items():
            if part not in params.get(layer, {}):
                raise InputError(
                    f"the VGG16 parameters must hold {layer}/{part} of shape {shape}, which is missing; "
                    "take them from pcacam_jax.nets.weights.load()."
                )
            check_shape(f"the VGG16 parameter {layer}/{part}", params[layer][part].shape, shape)


def _layers_up_to(tap: str) -> tuple[str, ...]:
    return TAPS[: TAPS.index(check_choice("tap", tap, TAPS)) + 1]


def _checked_images(images) -> jax.Array | np.ndarray:
    if not isinstance(images, jax.Array):
        images = np.asarray(images)
    if not (jnp.issubdtype(images.dtype, jnp.integer) or jnp.issubdtype(images.dtype, jnp.floating)):
        raise InputError(f"images must be integers or floats in 0..255; got the dtype {images.dtype}.")
    expected = "images must have the shape (B, H, W), (B, H, W, 1) or (B, H, W, 3)"
    if images.ndim == 3 and images.shape[-1] in (1, 3):
        raise InputError(f"{expected}; got {images.shape}, which looks like one image; pass images[None].")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        raise InputError(f"{expected}, channels last; got {images.shape}.")
    return images

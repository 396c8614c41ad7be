"""Conversion of maps and dense layers of other frameworks to channels last, kernels (in, out) and NumPy arrays.

PyTorch stores maps as (N, K, h, w) and weights as (out, in), and flattens maps channel by channel. Keras stores kernels
as (in, out) and flattens maps as this library does. Dropout, which does nothing in inference mode, and global average
pooling (``pool="average"`` of :func:`pcacam_jax.hybrid_head`) need no conversion.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pcacam_jax.core.arrays import as_numpy
from pcacam_jax.core.checks import InputError, check_choice, check_items
from pcacam_jax.core.text import shown

Layer = tuple[np.ndarray, np.ndarray]
"""(kernel (in, out), bias (out,))."""


def maps_from_torch(maps: Any) -> np.ndarray:
    """Convert feature maps with channels first, as in PyTorch, to channels last.

    Args:
        maps: ``(N, K, h, w)``, a tensor or array of any framework.

    Returns:
        The maps as a NumPy array, ``(N, h, w, K)``.

    Raises:
        InputError: the array does not have four axes, or its values are not finite real numbers.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import maps_from_torch
        >>> maps_from_torch(np.zeros((8, 512, 7, 7))).shape
        (8, 7, 7, 512)
    """
    array = as_numpy("maps", maps)
    if array.ndim != 4:
        raise InputError(f"maps must have shape (N, K, h, w), a batch with channels first; got {array.shape}.")
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def dense_from_torch(layers: Iterable[Any], *, maps_shape: Sequence[int] | None = None) -> list[Layer]:
    """Convert PyTorch's linear layers to the layers of :func:`pcacam_jax.hybrid_head`.

    Args:
        layers: ``nn.Linear`` modules, or pairs (weight ``(out, in)``, bias ``(out,)`` or None), from first to last.
        maps_shape: ``(h, w, K)``, channels last, of the maps that ``nn.Flatten`` flattens for the first layer, after
            any pooling; None if no maps are flattened, as after global average pooling.

    Returns:
        Pairs (kernel ``(in, out)``, bias ``(out,)``). The first kernel reads maps flattened with channels last.

    Raises:
        InputError: a layer is not linear, or shapes do not fit together.

    Example:
        >>> from pcacam_jax import dense_from_torch
        >>> [array.tolist() for array in dense_from_torch([([[1.0, 2.0]], None)])[0]]
        [[[1.0], [2.0]], [0.0]]
    """
    transposed = [(weight.T, bias) for weight, bias in _pairs(layers, "weight")]
    return _converted(transposed, maps_shape, "channels_first", "weights have shape (out, in)")


def dense_from_keras(
    layers: Iterable[Any], *, maps_shape: Sequence[int] | None = None, flattened: str = "channels_last"
) -> list[Layer]:
    """Convert Keras's dense layers to the layers of :func:`pcacam_jax.hybrid_head`.

    Args:
        layers: ``Dense`` layers, or pairs (kernel ``(in, out)``, bias ``(out,)`` or None), from first to last.
        maps_shape: ``(h, w, K)`` of the maps that ``Flatten`` flattens for the first layer, after any pooling; None if
            no maps are flattened.
        flattened: the order of the first layer's inputs. It is ``"channels_last"`` also for
            ``Flatten(data_format="channels_first")``, which moves the channels to the end first. It is
            ``"channels_first"`` only if maps ``(K, h, w)`` were flattened in that order.

    Returns:
        Pairs (kernel ``(in, out)``, bias ``(out,)``). The first kernel reads maps flattened with channels last.

    Raises:
        InputError: a layer is not dense, or shapes do not fit together.

    Example:
        >>> from pcacam_jax import dense_from_keras
        >>> [array.tolist() for array in dense_from_keras([([[1.0], [2.0]], None)])[0]]
        [[[1.0], [2.0]], [0.0]]
    """
    check_choice("flattened", flattened, ("channels_last", "channels_first"))
    return _converted(_pairs(layers, "kernel"), maps_shape, flattened, "kernels have shape (in, out)")


class BatchNorm(NamedTuple):
    """Batch normalisation in inference mode: ``x -> scale (x - mean) / sqrt(variance + epsilon) + shift``.

    Example:
        >>> from pcacam_jax import BatchNorm
        >>> [array.tolist() for array in BatchNorm(mean=[1.0], variance=[4.0], epsilon=0.0).line(1)]
        [[0.5], [-0.5]]
    """

    mean: Any
    """``(size,)``, PyTorch's ``running_mean``, Keras's ``moving_mean``."""
    variance: Any
    """``(size,)``, PyTorch's ``running_var``, Keras's ``moving_variance``."""
    scale: Any = None
    """``(size,)``, PyTorch's ``weight``, Keras's ``gamma``; None stands for 1."""
    shift: Any = None
    """``(size,)``, PyTorch's ``bias``, Keras's ``beta``; None stands for 0."""
    epsilon: float = 1e-5
    """PyTorch's default; Keras's default is 1e-3."""

    def line(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (factor, constant) of ``x -> factor x + constant``, ``(size,)`` each, in float64."""
        values = {"mean": self.mean, "variance": self.variance, "scale": self.scale, "shift": self.shift}
        defaults = {"scale": np.ones(size), "shift": np.zeros(size)}
        arrays = {}
        for name, value in values.items():
            arrays[name] = as_numpy(f"{name} of the batch norm", defaults.get(name) if value is None else value)
            if arrays[name].shape != (size,):
                raise InputError(f"{name} of the batch norm must have shape ({size},); got {arrays[name].shape}.")
        epsilon = as_numpy("epsilon of the batch norm", self.epsilon)
        if epsilon.shape:
            raise InputError(f"epsilon of the batch norm must be one number; got shape {epsilon.shape}.")
        variance = arrays["variance"].astype(np.float64) + float(epsilon)
        if variance.min() <= 0:
            raise InputError(f"variance + epsilon of the batch norm must be positive; got {variance.min():g}.")
        factor = arrays["scale"] / np.sqrt(variance)
        return factor, arrays["shift"] - factor * arrays["mean"]


def batch_norm_of(layer: Any) -> BatchNorm:
    """Read the numbers of a batch norm layer of PyTorch or Keras.

    Args:
        layer: a ``BatchNorm1d`` or ``BatchNorm2d`` of PyTorch, or a ``BatchNormalization`` of Keras.

    Raises:
        InputError: the layer is none of these.
    """
    if hasattr(layer, "running_mean"):
        return BatchNorm(layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.eps)
    if hasattr(layer, "moving_mean"):
        return BatchNorm(layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta, layer.epsilon)
    raise InputError(f"layer must be a batch norm of PyTorch or Keras; got {type(layer).__name__}; use BatchNorm.")


def fold_batch_norm(kernel: Any, bias: Any, norm: BatchNorm) -> Layer:
    """Fold a batch norm into the dense layer BEFORE it, if no activation lies between them.

    With ``f`` and ``c`` of :meth:`BatchNorm.line`, ``f (x W + b) + c = x (W diag(f)) + (f b + c)``.

    Args:
        kernel: W, ``(in, out)``.
        bias: b, ``(out,)``, or None.
        norm: a batch norm of ``out`` values.

    Returns:
        The kernel and bias of the single dense layer that replaces both.

    Raises:
        InputError: shapes do not fit together.

    Example:
        >>> from pcacam_jax import BatchNorm, fold_batch_norm
        >>> folded = fold_batch_norm([[2.0], [6.0]], [3.0], BatchNorm(mean=[1.0], variance=[4.0], epsilon=0.0))
        >>> [array.tolist() for array in folded]
        [[[1.0], [3.0]], [1.0]]
    """
    kernel, bias = _checked(kernel, bias, "the layer")
    factor, constant = _norm(norm).line(kernel.shape[1])
    return (kernel * factor).astype(kernel.dtype), (factor * bias + constant).astype(kernel.dtype)


def fold_batch_norm_before(kernel: Any, bias: Any, norm: BatchNorm, *, positions: int = 1) -> Layer:
    """Fold a batch norm into the dense layer AFTER it, with no activation between them.

    With ``f`` and ``c`` of :meth:`BatchNorm.line`, ``(f x + c) W + b = x (diag(f) W) + (c W + b)``.

    Args:
        kernel: W, ``(in, out)``, reading maps flattened with channels last.
        bias: b, ``(out,)``, or None.
        norm: a batch norm of ``in`` values, or of the K channels of maps that are flattened between.
        positions: ``h w`` of these maps, the number of repetitions of the K values in ``in``; 1 if there are no maps.

    Returns:
        The kernel and bias of the single dense layer that replaces both.

    Raises:
        InputError: shapes do not fit together.

    Example:
        >>> from pcacam_jax import BatchNorm, fold_batch_norm_before
        >>> norm = BatchNorm(mean=[1.0], variance=[4.0], epsilon=0.0)
        >>> [array.tolist() for array in fold_batch_norm_before([[2.0], [6.0]], [3.0], norm, positions=2)]
        [[[1.0], [3.0]], [-1.0]]
    """
    kernel, bias = _checked(kernel, bias, "the layer")
    if not isinstance(positions, int | np.integer) or positions < 1 or kernel.shape[0] % positions:
        raise InputError(f"positions must be an integer divisor of the {len(kernel)} inputs; got {shown(positions)}.")
    factor, constant = (np.tile(values, positions) for values in _norm(norm).line(kernel.shape[0] // positions))
    return (factor[:, None] * kernel).astype(kernel.dtype), (constant @ kernel + bias).astype(kernel.dtype)


def _norm(norm: Any) -> BatchNorm:
    if not isinstance(norm, BatchNorm):
        raise InputError(f"norm must be a BatchNorm, such as batch_norm_of(layer); got {type(norm).__name__}.")
    return norm


def _pairs(layers: Iterable[Any], attribute: str) -> list[Layer]:
    items = check_items("layers", layers, "a list, first to last, also of one layer")
    return [_pair(layer, attribute, n) for n, layer in enumerate(items, start=1)]


def _pair(layer: Any, attribute: str, n: int) -> Layer:
    """Return the weights of layer ``n`` in the order of its framework, with a bias of zeros if it has none."""
    name = f"dense layer {n}"
    if hasattr(layer, attribute):
        layer = (getattr(layer, attribute), getattr(layer, "bias", None))
    if not isinstance(layer, tuple | list) or len(layer) != 2:
        raise InputError(
            f"{name} must have a {attribute}, or be a pair ({attribute}, bias); got {type(layer).__name__}; pass the "
            "linear layers only, and name their activation in hybrid_head."
        )
    weight = as_numpy(f"the {attribute} of {name}", layer[0])
    if weight.ndim != 2:
        raise InputError(
            f"the {attribute} of {name} must have two axes; got {weight.shape}; fold a batch norm into the dense layer "
            "next to it with fold_batch_norm, and compute convolutions in the framework."
        )
    outputs = weight.shape[0 if attribute == "weight" else 1]
    return weight, as_numpy(f"the bias of {name}", np.zeros(outputs, weight.dtype) if layer[1] is None else layer[1])


def _checked(kernel: Any, bias: Any, name: str) -> Layer:
    kernel = as_numpy(f"the kernel of {name}", kernel)
    bias = as_numpy(f"the bias of {name}", np.zeros(kernel.shape[-1:], kernel.dtype) if bias is None else bias)
    if kernel.ndim != 2 or bias.shape != kernel.shape[1:]:
        raise InputError(f"{name} must be (kernel (in, out), bias (out,)); got {kernel.shape} and {bias.shape}.")
    return kernel, bias


def _converted(layers: list[Layer], maps_shape: Sequence[int] | None, order: str, convention: str) -> list[Layer]:
    """Check that the layers fit together, and sort the inputs of the first one to the order (h, w, K)."""
    if not layers:
        raise InputError("layers must hold at least one dense layer; got none.")
    layers = [_checked(*layer, f"dense layer {n}") for n, layer in enumerate(layers, start=1)]
    for n, (earlier, later) in enumerate(itertools.pairwise(layers), start=2):
        if later[0].shape[0] != earlier[0].shape[1]:
            raise InputError(
                f"dense layer {n} reads {later[0].shape[0]} values, but layer {n - 1} gives {earlier[0].shape[1]}; "
                f"{convention}."
            )
    kernel, bias = layers[0]
    if maps_shape is not None:
        kernel = _channels_last(kernel, maps_shape, order, convention)
    return [(np.ascontiguousarray(kernel), bias), *((np.ascontiguousarray(k), b) for k, b in layers[1:])]


def _channels_last(kernel: np.ndarray, maps_shape: Sequence[int], order: str, convention: str) -> np.ndarray:
    height, width, channels = shape = _shape(maps_shape)
    if kernel.shape[0] != math.prod(shape):
        raise InputError(
            f"the first dense layer reads {kernel.shape[0]} values, but maps of shape (h, w, K) = {shape} have "
            f"{math.prod(shape)}; give the shape after any pooling, or None after a global average; {convention}."
        )
    if order == "channels_last":
        return kernel
    return kernel.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(kernel.shape)


def _shape(maps_shape: Sequence[int]) -> tuple[int, int, int]:
    try:
        shape = tuple(maps_shape)
    except TypeError:
        shape = ()
    if len(shape) != 3 or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        raise InputError(f"maps_shape must be three positive integers (h, w, K); got {shown(maps_shape)}.")
    return int(shape[0]), int(shape[1]), int(shape[2])

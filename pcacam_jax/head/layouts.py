"""Maps and dense layers of other frameworks in this library's order: channels last, kernels (in, out), NumPy arrays.

PyTorch keeps maps as (N, K, h, w), weights as (out, in), and flattens maps channel after channel; Keras keeps kernels
as (in, out) and flattens as this library does. What needs no conversion: dropout (the identity when a network is used),
a global average (``pool="average"`` of :func:`pcacam_jax.hybrid_head`), and plain NumPy arrays in this order already.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pcacam_jax.core.checks import InputError, check_choice, check_finite

Layer = tuple[np.ndarray, np.ndarray]
"""(kernel (in, out), bias (out,))."""
FLATTENED = ("channels_last", "channels_first")


def maps_from_torch(maps: Any) -> np.ndarray:
    """Return feature maps (N, K, h, w) as (N, h, w, K), for any framework that keeps channels first.

    Raises:
        InputError: not a batch of maps.
    """
    array = as_numpy("maps", maps)
    if array.ndim != 4:
        raise InputError(f"maps must have shape (N, K, h, w), a batch with channels first; got {array.shape}.")
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def dense_from_torch(layers: Iterable[Any], *, maps_shape: Sequence[int] | None = None) -> list[Layer]:
    """Return PyTorch's linear layers as [(kernel (in, out), bias (out,)), ...].

    Args:
        layers: ``nn.Linear`` modules, or pairs (weight (out, in), bias (out,) or None), first to last.
        maps_shape: (h, w, K) of the maps that ``nn.Flatten`` lays out for the first layer, after any pooling, channels
            last; None where no maps are flattened, as behind a global average, whose order needs no change.

    Raises:
        InputError: a layer that is not linear, or shapes that do not fit together.
    """
    transposed = [(weight.T, bias) for weight, bias in _pairs(layers, "weight")]
    return _laid_out(transposed, maps_shape, "channels_first", "weights have shape (out, in)")


def dense_from_keras(
    layers: Iterable[Any], *, maps_shape: Sequence[int] | None = None, flattened: str = "channels_last"
) -> list[Layer]:
    """Return Keras's dense layers as [(kernel (in, out), bias (out,)), ...].

    Args:
        layers: ``Dense`` layers, or pairs (kernel (in, out), bias (out,) or None), first to last.
        maps_shape: (h, w, K) of the maps that ``Flatten`` lays out for the first layer, after any pooling; None where
            no maps are flattened.
        flattened: the order of the first layer's inputs. "channels_last" also for ``Flatten(data_format=
            "channels_first")``, which moves the channels to the end first; "channels_first" only where maps (K, h, w)
            were flattened as they lay.

    Raises:
        InputError: a layer that is not dense, or shapes that do not fit together.
    """
    check_choice("flattened", flattened, FLATTENED)
    return _laid_out(_pairs(layers, "kernel"), maps_shape, flattened, "kernels have shape (in, out)")


class BatchNorm(NamedTuple):
    """A batch normalisation in use: x -> scale (x - mean) / sqrt(variance + epsilon) + shift, entry by entry."""

    mean: Any
    """PyTorch's ``running_mean``, Keras's ``moving_mean``."""
    variance: Any
    """``running_var``, ``moving_variance``."""
    scale: Any = None
    """``weight``, ``gamma``; None stands for 1."""
    shift: Any = None
    """``bias``, ``beta``; None stands for 0."""
    epsilon: float = 1e-5
    """PyTorch's default; Keras's is 1e-3."""

    def line(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (factor, constant) with which the normalisation is x -> factor x + constant, in float64.

        Raises:
            InputError: not ``size`` values each, or a variance that is not positive.
        """
        given = {"mean": self.mean, "variance": self.variance, "scale": self.scale, "shift": self.shift}
        defaults = {"scale": np.ones(size), "shift": np.zeros(size)}
        arrays = {}
        for name, values in given.items():
            arrays[name] = as_numpy(f"{name} of the batch norm", defaults[name] if values is None else values)
            if arrays[name].shape != (size,):
                raise InputError(
                    f"{name} of the batch norm must have shape ({size},), a value for each entry that it normalises; "
                    f"got {arrays[name].shape}."
                )
        variance = arrays["variance"].astype(np.float64) + self.epsilon
        if variance.min() <= 0:
            raise InputError(f"variance + epsilon of the batch norm must be positive; got {variance.min():g}.")
        factor = arrays["scale"] / np.sqrt(variance)
        return factor, arrays["shift"] - factor * arrays["mean"]


def batch_norm_of(layer: Any) -> BatchNorm:
    """Return the numbers of a PyTorch ``BatchNorm1d`` or ``BatchNorm2d``, or of a Keras ``BatchNormalization``.

    Raises:
        InputError: neither of them.
    """
    if hasattr(layer, "running_mean"):
        return BatchNorm(layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.eps)
    if hasattr(layer, "moving_mean"):
        return BatchNorm(layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta, layer.epsilon)
    raise InputError(
        f"layer must be a batch norm of PyTorch or Keras; got {type(layer).__name__}; give its numbers to BatchNorm."
    )


def fold_batch_norm(kernel: Any, bias: Any, norm: BatchNorm) -> Layer:
    """Return the dense layer that is ``kernel, bias`` with a batch norm AFTER it, before its activation.

    scale ((x W + b) - mean) / sqrt(variance + epsilon) + shift = x (W diag(f)) + (f b + c), f and c of
    :meth:`BatchNorm.line`.

    Raises:
        InputError: shapes that do not fit together.
    """
    kernel, bias = _checked(kernel, bias, "the layer")
    factor, constant = _norm(norm).line(kernel.shape[1])
    return (kernel * factor).astype(kernel.dtype), (factor * bias + constant).astype(kernel.dtype)


def fold_batch_norm_before(kernel: Any, bias: Any, norm: BatchNorm, *, positions: int = 1) -> Layer:
    """Return the dense layer that is ``kernel, bias`` with a batch norm BEFORE it, on what the activation gave.

    (f x + c) W + b = x (diag(f) W) + (c W + b), f and c of :meth:`BatchNorm.line`.

    Args:
        kernel: (in, out), in this library's order.
        bias: (out,).
        norm: of (in,) values; or of (K,), one a channel, for maps that are flattened in between.
        positions: h w of those maps, else 1: how often the K values repeat along the kernel's inputs.

    Raises:
        InputError: shapes that do not fit together.
    """
    kernel, bias = _checked(kernel, bias, "the layer")
    if not isinstance(positions, int | np.integer) or positions < 1 or kernel.shape[0] % positions:
        raise InputError(f"positions must be an integer divisor of the {kernel.shape[0]} inputs; got {positions!r}.")
    factor, constant = (np.tile(own, positions) for own in _norm(norm).line(kernel.shape[0] // positions))
    return (factor[:, None] * kernel).astype(kernel.dtype), (constant @ kernel + bias).astype(kernel.dtype)


def as_numpy(name: str, values: Any) -> np.ndarray:
    """Return a tensor of any framework as a NumPy array of finite floats; no framework is imported.

    Raises:
        InputError: not real numbers, or NaN or infinite.
    """
    held = getattr(values, "value", None)
    values = values if held is None or callable(held) else held  # what a Keras variable holds
    if hasattr(values, "detach"):  # a PyTorch tensor, which may carry a gradient or lie on an accelerator
        values = values.detach().cpu()
        values = values.float() if "bfloat16" in str(values.dtype) else values
    try:
        array = np.asarray(values)
        if array.dtype.kind in "cSUMm":  # NumPy would drop imaginary parts, and read text and dates as numbers
            raise TypeError(f"the dtype is {array.dtype}")
        array = array if array.dtype.kind == "f" else array.astype(np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        got = type(values).__name__ + (f" of {values.dtype}" if hasattr(values, "dtype") else "")
        raise InputError(f"{name} must be an array or a tensor of real numbers; got {got}.") from error
    check_finite(name, array)
    return array


def _norm(norm: Any) -> BatchNorm:
    if not isinstance(norm, BatchNorm):
        raise InputError(f"norm must be a BatchNorm, such as batch_norm_of(layer); got {type(norm).__name__}.")
    return norm


def _pairs(layers: Iterable[Any], attribute: str) -> list[Layer]:
    if not isinstance(layers, Iterable):
        raise InputError(f"layers must be a list, first to last; got {type(layers).__name__}: give [layer] for one.")
    return [_pair(layer, attribute, n) for n, layer in enumerate(layers, start=1)]


def _pair(layer: Any, attribute: str, n: int) -> Layer:
    """Return the weights of layer ``n`` as they lie, its bias zero if it has none."""
    name = f"dense layer {n}"
    if hasattr(layer, attribute):
        layer = (getattr(layer, attribute), getattr(layer, "bias", None))
    if not isinstance(layer, tuple | list) or len(layer) != 2:
        raise InputError(
            f"{name} must have a {attribute}, or be a pair ({attribute}, bias); got {type(layer).__name__}: give the "
            "linear layers only, and name their activation to hybrid_head."
        )
    weight = as_numpy(f"the {attribute} of {name}", layer[0])
    if weight.ndim != 2:
        raise InputError(
            f"the {attribute} of {name} must have two axes; got {weight.shape}: fold a batch norm into its neighbour "
            "with fold_batch_norm, and leave convolutions to the framework."
        )
    outputs = weight.shape[0 if attribute == "weight" else 1]
    return weight, as_numpy(f"the bias of {name}", np.zeros(outputs, weight.dtype) if layer[1] is None else layer[1])


def _checked(kernel: Any, bias: Any, name: str) -> Layer:
    kernel = as_numpy(f"the kernel of {name}", kernel)
    bias = as_numpy(f"the bias of {name}", np.zeros(kernel.shape[-1:], kernel.dtype) if bias is None else bias)
    if kernel.ndim != 2 or bias.shape != kernel.shape[1:]:
        raise InputError(f"{name} must be (kernel (in, out), bias (out,)); got {kernel.shape} and {bias.shape}.")
    return kernel, bias


def _laid_out(layers: list[Layer], maps_shape: Sequence[int] | None, order: str, convention: str) -> list[Layer]:
    """Check that layers follow one another, and bring the first one's inputs in the order (h, w, K)."""
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
    return [(np.ascontiguousarray(kernel), bias), *((np.ascontiguousarray(own), b) for own, b in layers[1:])]


def _channels_last(kernel: np.ndarray, maps_shape: Sequence[int], order: str, convention: str) -> np.ndarray:
    height, width, channels = shape = _shape(maps_shape)
    if kernel.shape[0] != math.prod(shape):
        raise InputError(
            f"the first dense layer reads {kernel.shape[0]} values, but maps of shape (h, w, K) = {shape} have "
            f"{math.prod(shape)}; give the shape after any pooling, None behind a global average, and mind that "
            f"{convention}."
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
        raise InputError(f"maps_shape must be three positive integers (h, w, K); got {maps_shape!r}.")
    return int(shape[0]), int(shape[1]), int(shape[2])

"""Conversions from other frameworks, compared with the formulas of those frameworks in NumPy."""

import numpy as np
import pytest

from pcacam_jax import InputError
from pcacam_jax.core.arrays import as_numpy
from pcacam_jax.head.layouts import (
    BatchNorm,
    batch_norm_of,
    dense_from_keras,
    dense_from_torch,
    fold_batch_norm,
    fold_batch_norm_before,
    maps_from_torch,
)

H, W, K = 2, 3, 5


@pytest.fixture
def random():
    return np.random.default_rng(0)


class Linear:
    """A stand-in for PyTorch's linear layer; as there, a layer is not iterable."""

    def __init__(self, weight, bias):
        self.weight, self.bias = Tensor(weight), None if bias is None else Tensor(bias)


class Tensor:
    """A stand-in for a tensor that NumPy can read only after detach() and cpu()."""

    dtype = "torch.float32"

    def __init__(self, values, ready=()):
        self.values, self.ready = values, ready

    def detach(self):
        return Tensor(self.values, (*self.ready, "detached"))

    def cpu(self):
        return Tensor(self.values, (*self.ready, "here"))

    def __array__(self, dtype=None, copy=None):
        assert self.ready == ("detached", "here")
        return np.asarray(self.values, dtype)


def test_maps_become_channels_last(random):
    maps = random.normal(size=(4, K, H, W))
    converted = maps_from_torch(Tensor(maps))
    assert converted.flags.c_contiguous
    assert converted.shape == (4, H, W, K)
    assert converted[3, 1, 2, 4] == maps[3, 4, 1, 2]


@pytest.mark.parametrize("module", [True, False])
def test_linear_layers_keep_their_outputs(random, module):
    maps = random.normal(size=(4, K, H, W))
    weights = [random.normal(size=(6, K * H * W)), random.normal(size=(2, 6))]
    biases = [random.normal(size=6), None]
    expected = (maps.reshape(4, -1) @ weights[0].T + biases[0]) @ weights[1].T
    pairs = list(zip(weights, biases, strict=True))
    layers = dense_from_torch([Linear(*pair) for pair in pairs] if module else pairs, maps_shape=(H, W, K))
    x = maps_from_torch(maps).reshape(4, -1)
    for kernel, bias in layers:
        assert kernel.flags.c_contiguous
        x = x @ kernel + bias
    np.testing.assert_allclose(x, expected, rtol=1e-12)


def test_layers_after_a_global_average_are_only_transposed(random):
    weight, bias = random.normal(size=(6, K)), random.normal(size=6)
    ((kernel, converted_bias),) = dense_from_torch([(weight, bias)])
    np.testing.assert_array_equal(kernel, weight.T)
    np.testing.assert_array_equal(converted_bias, bias)


@pytest.mark.parametrize("flattened", ["channels_last", "channels_first"])
def test_keras_layers_keep_their_outputs(random, flattened):
    maps = random.normal(size=(4, H, W, K))
    kernel, bias = random.normal(size=(H * W * K, 6)), random.normal(size=6)
    stored = maps if flattened == "channels_last" else maps.transpose(0, 3, 1, 2)
    expected = stored.reshape(4, -1) @ kernel + bias
    ((converted, converted_bias),) = dense_from_keras([(kernel, bias)], maps_shape=(H, W, K), flattened=flattened)
    np.testing.assert_allclose(maps.reshape(4, -1) @ converted + converted_bias, expected, rtol=1e-12)


@pytest.fixture
def norm(random):
    return BatchNorm(random.normal(size=6), random.random(6), random.normal(size=6), random.normal(size=6), 1e-3)


def normalised(x, norm):
    return norm.scale * (x - norm.mean) / np.sqrt(norm.variance + norm.epsilon) + norm.shift


def test_a_batch_norm_after_a_layer_is_folded(random, norm):
    x, kernel, bias = random.normal(size=(7, 4)), random.normal(size=(4, 6)), random.normal(size=6)
    folded, constant = fold_batch_norm(kernel, bias, norm)
    np.testing.assert_allclose(x @ folded + constant, normalised(x @ kernel + bias, norm), rtol=1e-12)
    without, constant = fold_batch_norm(kernel, None, norm)
    np.testing.assert_allclose(x @ without + constant, normalised(x @ kernel, norm), rtol=1e-12)


def test_a_batch_norm_before_a_layer_is_folded(random, norm):
    x, kernel, bias = random.normal(size=(7, 6)), random.normal(size=(6, 4)), random.normal(size=4)
    folded, constant = fold_batch_norm_before(kernel, bias, norm)
    np.testing.assert_allclose(x @ folded + constant, normalised(x, norm) @ kernel + bias, rtol=1e-12)


def test_a_batch_norm_of_channels_is_folded_into_the_layer_after_the_flattening(random, norm):
    maps, kernel, bias = random.normal(size=(7, H, W, 6)), random.normal(size=(H * W * 6, 4)), random.normal(size=4)
    folded, constant = fold_batch_norm_before(kernel, bias, norm, positions=H * W)
    expected = normalised(maps, norm).reshape(7, -1) @ kernel + bias
    np.testing.assert_allclose(maps.reshape(7, -1) @ folded + constant, expected, rtol=1e-12)


def test_scale_and_shift_may_be_absent(random, norm):
    bare = BatchNorm(norm.mean, norm.variance)
    x, kernel = random.normal(size=(7, 4)).astype("float32"), random.normal(size=(4, 6)).astype("float32")
    folded, constant = fold_batch_norm(kernel, None, bare)
    assert folded.dtype == constant.dtype == np.float32
    expected = (x @ kernel - norm.mean) / np.sqrt(norm.variance + 1e-5)
    np.testing.assert_allclose(x @ folded + constant, expected, rtol=1e-4, atol=1e-4)


def test_integers_become_floats():
    assert as_numpy("a", [[1, 2], [3, 4]]).dtype == np.float32
    assert as_numpy("a", np.ones(2, np.float16)).dtype == np.float16


ones = np.ones


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: maps_from_torch(ones((5, 2, 3))), r"maps must have shape \(N, K, h, w\).*got \(5, 2, 3\)\."),
        (lambda: maps_from_torch("maps"), "must be an array or a tensor of real numbers; got str"),
        (lambda: maps_from_torch(np.full((1, 1, 1, 1), np.nan)), "maps must be finite"),
        (lambda: dense_from_torch([]), "at least one dense layer"),
        (
            lambda: dense_from_torch([object()]),
            "dense layer 1 must have a weight, or be a pair .* got object; pass the",
        ),
        (lambda: dense_from_torch([(ones((3, 2)), None), (ones(3), ones(3))]), r"dense layer 2 must have two axes"),
        (lambda: dense_from_torch([(ones((3, 2)), ones(2))]), r"dense layer 1 must be \(kernel \(in, out\)"),
        (
            lambda: dense_from_torch([(ones((3, 30)), None), (ones((3, 4)), None)], maps_shape=(2, 3, 5)),
            r"dense layer 2 reads 4 values, but layer 1 gives 3; weights have shape \(out, in\)\.",
        ),
        (
            lambda: dense_from_torch([(ones((30, 3)), None)], maps_shape=(2, 3, 5)),
            r"first dense layer reads 3 values, but maps of shape \(h, w, K\) = \(2, 3, 5\) have 30; give the shape",
        ),
        (lambda: dense_from_torch([(ones((3, 30)), None)], maps_shape=(2, 15)), "three positive integers"),
        (lambda: dense_from_torch([(ones((3, 30)), None)], maps_shape=(-2, -3, 5)), "three positive integers"),
        (lambda: dense_from_torch([(ones((3, 36)), None)], maps_shape=36), r"three positive integers .*; got 36"),
        (lambda: dense_from_keras([(ones((3, 2)), None)], flattened="rows"), "flattened must be one of"),
        (lambda: dense_from_keras([ones((3, 2))]), "dense layer 1 must have a kernel, or be a pair"),
        (lambda: fold_batch_norm(ones((3, 2)), None, BatchNorm(ones(3), ones(3))), r"mean .* must have shape \(2,\)"),
        (lambda: fold_batch_norm(ones((3, 2)), None, BatchNorm(ones(2), -ones(2))), "variance .* must be positive"),
        (lambda: fold_batch_norm(ones((3, 2)), ones(3), BatchNorm(ones(2), ones(2))), "the layer must be"),
        (
            lambda: fold_batch_norm_before(ones((3, 2)), None, BatchNorm(ones(1), ones(1)), positions=2),
            "positions must be an integer divisor of the 3 inputs; got 2",
        ),
        (
            lambda: fold_batch_norm_before(ones((4, 2)), None, BatchNorm(ones(2), ones(2)), positions=2.0),
            r"positions must be an integer divisor of the 4 inputs; got 2\.0",
        ),
        (lambda: fold_batch_norm(ones((3, 2)), None, None), r"norm must be a BatchNorm, such as .*; got NoneType"),
        (lambda: fold_batch_norm_before(ones((3, 2)), None, Linear(ones(1), None)), "norm must be a Batch.*got Linear"),
        (
            lambda: dense_from_torch(Linear(ones((3, 2)), None)),
            r"layers must be a list, .* also of one layer; got Linear",
        ),
        (lambda: dense_from_keras(None), r"layers must be a list.*got NoneType"),
        (lambda: maps_from_torch(ones((1, 1, 1, 1), complex)), "real numbers; got ndarray of complex128"),
        (lambda: maps_from_torch([[1, 2], [3]]), "must be an array or a tensor of real numbers; got list"),
        (lambda: as_numpy("x", ["1", "2"]), "x must be an array or a tensor of real numbers; got list"),
        (lambda: dense_from_torch([(1j * ones((3, 2)), None)]), "weight of dense layer 1 must be .* of complex128"),
        (lambda: batch_norm_of(Linear(ones(1), None)), "must be a batch norm of PyTorch or Keras; got Linear"),
    ],
)
def test_invalid_arguments_raise_an_error(call, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        call()
    assert str(error.value).endswith(".")

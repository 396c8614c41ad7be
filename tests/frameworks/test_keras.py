"""Keras networks as heads: kernels as they are, Flatten in both data formats, batch norms folded in."""

import jax
import numpy as np
import pytest

from pcacam_jax import hybrid_head
from pcacam_jax.head.check_outputs import check_outputs
from pcacam_jax.head.layouts import (
    batch_norm_of,
    dense_from_keras,
    fold_batch_norm,
    fold_batch_norm_before,
    maps_from_torch,
)

SHAPE = (3, 4, 5)
ROUNDED = 1e-6
"""Keras takes means, batch norms and tanh in float32, whatever its floatx is."""


@pytest.fixture(scope="module", autouse=True)
def float64(keras):
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    with jax.enable_x64(True):
        yield
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="module")
def maps():
    return np.random.default_rng(0).random((9, *SHAPE))


def test_a_keras_head_needs_no_conversion(keras, maps):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    dense = [layers.Dense(8, "relu"), layers.Dense(6, "relu", use_bias=False), layers.Dense(4)]
    net = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), dense[0], layers.Dropout(0.5), *dense[1:]])
    head = hybrid_head(dense_from_keras(dense, maps_shape=SHAPE), maps_shape=SHAPE)
    assert check_outputs(head, maps, {"cnn": net(maps)})["cnn"] < 1e-12
    as_pairs = [(own.kernel, own.bias) for own in dense]
    for own, other in zip(dense_from_keras(dense), dense_from_keras(as_pairs), strict=True):
        np.testing.assert_array_equal(own[0], other[0])


@pytest.mark.parametrize(("data_format", "flattened"), [("channels_first", "channels_last"), (None, "channels_first")])
def test_channels_first_in_keras(keras, maps, data_format, flattened):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(4)
    first = maps.transpose(0, 3, 1, 2)
    net = keras.Sequential([keras.Input(first.shape[1:]), keras.layers.Flatten(data_format=data_format), dense])
    head = hybrid_head(dense_from_keras([dense], maps_shape=SHAPE, flattened=flattened), maps_shape=SHAPE, at=1)
    assert check_outputs(head, maps_from_torch(first), {"cnn": net(first)})["cnn"] < 1e-12


def test_batch_norms_of_keras_are_folded_in(keras, maps):
    """BatchNormalization on the maps, Flatten, Dense, BatchNormalization, activation, BatchNormalization, Dense."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    norms = [layers.BatchNormalization(), layers.BatchNormalization(), layers.BatchNormalization(scale=False)]
    first, last = layers.Dense(8, use_bias=False), layers.Dense(4)
    stack = [norms[0], layers.Flatten(), first, norms[1], layers.Activation("relu"), norms[2], last]
    net = keras.Sequential([keras.Input(SHAPE), *stack])
    random = np.random.default_rng(1)
    for norm in norms:
        norm.set_weights([random.random(own.shape) + 0.2 for own in norm.weights])
    expected = net(maps)
    (kernel, bias), *_ = dense_from_keras([first], maps_shape=SHAPE)
    folded = [
        fold_batch_norm(
            *fold_batch_norm_before(kernel, bias, batch_norm_of(norms[0]), positions=12), batch_norm_of(norms[1])
        ),
        fold_batch_norm_before(*dense_from_keras([last])[0], batch_norm_of(norms[2])),
    ]
    head = hybrid_head(folded, maps_shape=SHAPE, at=1)
    assert check_outputs(head, maps, {"cnn": expected}, tolerance=ROUNDED)["cnn"] < ROUNDED


def test_another_activation_of_keras(keras, maps):
    keras.utils.set_random_seed(0)
    dense = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(4)]
    net = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), *dense])
    head = hybrid_head(dense_from_keras(dense, maps_shape=SHAPE), maps_shape=SHAPE, at=1, activation="tanh")
    assert check_outputs(head, maps, {"cnn": net(maps)}, tolerance=ROUNDED)["cnn"] < ROUNDED


def test_a_globally_averaged_keras_head(keras, maps):
    dense = keras.layers.Dense(4)
    net = keras.Sequential([keras.Input(SHAPE), keras.layers.GlobalAveragePooling2D(), dense])
    head = hybrid_head(dense_from_keras([dense]), maps_shape=SHAPE, at=1, pool="average")
    assert check_outputs(head, maps, {"cnn": net(maps)}, tolerance=ROUNDED)["cnn"] < ROUNDED

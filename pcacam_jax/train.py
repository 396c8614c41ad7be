"""Training of the dense head: plain SGD on cross-entropy, an epoch one ``lax.scan``, the best epoch by validation."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from sklearn.model_selection import train_test_split

from pcacam_jax.checks import InputError
from pcacam_jax.nets.dense_head import DenseHead, layers
from pcacam_jax.progress import Advance, unseen


@dataclasses.dataclass(frozen=True)
class TrainedHead:
    """The parameters after the best epoch, and what training looked like."""

    layers: list[tuple[Array, Array]]
    """[(kernel, bias), ...] first to last."""
    best_epoch: int
    """Counted from 1: the first epoch with the highest validation accuracy."""
    train_accuracy: list[float]
    """After 1, 2, ... epochs: the share of training images classified rightly, each before the step that it enters."""
    validation_accuracy: list[float]
    """The same of the images set aside, after the epoch."""
    loss: list[float]
    """Mean cross-entropy of each epoch's batches."""


def train_head(
    features: Float[np.ndarray, "N h w K"],
    labels: Int[np.ndarray, " N"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    feature_scale: float,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    validation_fraction: float,
    seed: int,
    advance: Advance = unseen,
) -> TrainedHead:
    """Return the head after its best epoch; the same seed gives the same bits.

    The head is trained on features / ``feature_scale``; its first kernel is divided by that number in the end, so that
    what is returned reads the features as they are.

    Raises:
        InputError: too few images of a class to divide, or a loss that is no longer finite.
    """
    data, validation = (
        (jnp.asarray(features[part] / np.float32(feature_scale)), jnp.asarray(labels[part]))
        for part in divide(labels, validation_fraction, seed)
    )
    model = DenseHead(sizes=sizes, activation=activation)
    start_key, order_key = jax.random.split(jax.random.key(seed))
    params = best = model.init(start_key, data[0][:1])["params"]
    history: list[tuple[float, float, float]] = []
    for epoch in range(epochs):
        batches = _batches(jax.random.fold_in(order_key, epoch), len(data[1]), batch_size)
        params, loss, accuracy = _epoch(model, learning_rate, params, data, batches)
        row = (float(loss), float(accuracy), float(_accuracy(model, params, validation)))
        if not (math.isfinite(row[0]) and _finite(params)):
            raise InputError(
                f"training diverged in epoch {epoch + 1}, its loss being {row[0]:g}; take a learning rate below "
                f"{learning_rate:g}."
            )
        if row[2] > max((past[2] for past in history), default=-1.0):
            best = params
        history.append(row)
        advance(1)
    loss, train_accuracy, validation_accuracy = (list(column) for column in zip(*history, strict=True))
    best_epoch = int(np.argmax(validation_accuracy)) + 1
    (kernel, bias), *later = layers(best)
    head = [(kernel / feature_scale, bias), *later]
    return TrainedHead(head, best_epoch, train_accuracy, validation_accuracy, loss)


def divide(labels: Int[np.ndarray, " N"], fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on and to validate on, sorted; every class has its share in both.

    Raises:
        InputError: too few images for that.
    """
    classes, counts = np.unique(labels, return_counts=True)
    validated = math.ceil(fraction * len(labels))
    if counts.min() < 2 or not len(classes) <= validated <= len(labels) - len(classes):
        raise InputError(
            f"{fraction:.0%} of {len(labels)} training images cannot be set aside for validation with all "
            f"{len(classes)} classes in both parts, the smallest having {counts.min()}; give more images of each class."
        )
    trained_on, validated_on = train_test_split(
        np.arange(len(labels)), test_size=fraction, random_state=seed, stratify=labels
    )
    return np.sort(trained_on), np.sort(validated_on)


def _batches(key: Array, count: int, batch_size: int) -> tuple[Int[Array, "n B"], Float[Array, "n B"]]:
    """Return a random order cut into batches, and weights that are 0 for what fills up the last one."""
    number = -(-count // batch_size)
    missing = number * batch_size - count
    order = jnp.pad(jax.random.permutation(key, count), (0, missing))
    weights = jnp.pad(jnp.ones(count), (0, missing))
    return order.reshape(number, batch_size), weights.reshape(number, batch_size)


@functools.partial(jax.jit, static_argnums=0)
def _epoch(model: DenseHead, learning_rate: Any, params: Any, data: tuple, batches: tuple):
    """Return the parameters after one pass over the batches, with the mean loss and the accuracy."""
    features, labels = data
    optimiser = optax.sgd(learning_rate)  # without momentum, so an epoch takes no state over from the last

    def loss_of(params, chosen, weights):
        logits = jnp.asarray(model.apply({"params": params}, features[chosen]))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels[chosen])
        correct = jnp.sum(weights * (jnp.argmax(logits, axis=-1) == labels[chosen]))
        return jnp.sum(weights * losses) / jnp.sum(weights), correct

    def step(carry, batch):
        params, state = carry
        (loss, correct), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, *batch)
        updates, state = optimiser.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), (loss, correct)

    (params, _), (losses, correct) = jax.lax.scan(step, (params, optimiser.init(params)), batches)
    return params, jnp.mean(losses), jnp.sum(correct) / len(labels)


@functools.partial(jax.jit, static_argnums=0)
def _accuracy(model: DenseHead, params: Any, data: tuple) -> Float[Array, ""]:
    features, labels = data
    return jnp.mean(jnp.argmax(jnp.asarray(model.apply({"params": params}, features)), axis=-1) == labels)


@jax.jit
def _finite(params: Any) -> Array:
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))

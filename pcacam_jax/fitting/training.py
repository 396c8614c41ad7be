"""Training of dense heads: plain SGD on cross-entropy, with the best epoch chosen by validation accuracy.

The heads of several seeds are trained together. They share the features and every compiled step (``vmap`` over the
heads, ``lax.scan`` over the batches). Each head draws its initial weights, order of batches and validation images from
its own seed. Features that do not fit in memory are read from their file block by block, with the same results.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from sklearn.model_selection import train_test_split

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import CACHED, Advance, no_progress
from pcacam_jax.fitting.checkpoints import Checkpoints
from pcacam_jax.fitting.out_of_core import Source
from pcacam_jax.nets.dense_head import DenseHead, layers

VALIDATION_BATCH = 256
"""Images per batch in the computation of the validation accuracy."""


class Member(NamedTuple):
    """The seed and learning rate of one of the heads that are trained together."""

    seed: int
    """Seed of the initial weights, the order of the batches and the validation split."""
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class TrainedHead:
    """The parameters after the best epoch, and the history of the training."""

    layers: list[tuple[Array, Array]]
    """[(kernel, bias), ...] from the first layer to the last."""
    best_epoch: int
    """The first epoch with the highest validation accuracy, balanced or not, counted from 1."""
    train_accuracy: list[float]
    """Accuracy on the training images in each epoch; every image is classified before the step that uses it."""
    validation_accuracy: list[float]
    """Accuracy on the validation images after each epoch."""
    loss: list[float]
    """Mean cross-entropy of the batches of each epoch."""

    __repr__ = brief_repr


class State(NamedTuple):
    """The state of the training after some epochs; the first axis of every array is the S heads."""

    params: Any
    best: Any
    """The parameters after the best epoch so far."""
    history: np.ndarray
    """Loss, training accuracy and validation accuracy of each epoch, ``(S, epochs, 3)``."""


def train_heads(
    features: Float[np.ndarray, "N h w K"],
    labels: Int[np.ndarray, " N"],
    members: Sequence[Member],
    *,
    sizes: tuple[int, ...],
    activation: str,
    feature_scale: float,
    epochs: int,
    batch_size: int,
    validation_fraction: float,
    balance: bool = False,
    checkpoint: Path | None = None,
    advance: Advance = no_progress,
) -> list[TrainedHead]:
    """Train a head for each member and return the parameters after its best epoch, reproducible to the bit.

    The heads are trained on features / ``feature_scale``. Their first kernels are divided by ``feature_scale`` at the
    end, so the returned heads take the unscaled features.

    Args:
        features: feature maps ``(N, h, w, K)`` in memory or memory-mapped, float32 or float16.
        labels: class indices 0..C-1, ``(N,)``.
        members: seed and learning rate of every head.
        sizes: widths of the layers; the last is the number of classes.
        activation: name of the activation.
        feature_scale: divisor of the features.
        epochs: number of epochs.
        batch_size: images per batch, at most the number of training images.
        validation_fraction: share of the images that is set aside to choose the best epoch.
        balance: whether every class counts alike in the loss and the accuracies, however many images it has.
        checkpoint: file where the state is saved regularly; an interrupted training continues from it.
        advance: called with the number of epochs done since the last call.

    Returns:
        The trained heads, in the order of ``members``.

    Raises:
        InputError: a class has too few images for the validation split, or the training diverges.
    """
    source = Source(features, scale=feature_scale)
    splits = [validation_split(labels, validation_fraction, member.seed) for member in members]
    training, validation = (np.stack(rows) for rows in zip(*splits, strict=True))
    model = DenseHead(sizes=sizes, activation=activation)
    keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(
        jnp.array([member.seed for member in members], jnp.uint32)
    )
    rates = jnp.array([member.learning_rate for member in members], jnp.float32)
    batch_size = min(batch_size, training.shape[1])
    class_weights, validation_weights = (
        class_weights_of(labels[rows], sizes[-1]) if balance else None for rows in (training, validation)
    )
    fresh = jax.vmap(lambda key: model.init(key, source.example)["params"])(keys[:, 0])
    checkpoints = Checkpoints(checkpoint)
    state = checkpoints.restore(State(fresh, fresh, np.empty((len(members), 0, 3))))
    if done := state.history.shape[1]:
        advance(done, CACHED)
    for epoch in range(done, epochs):
        order = _orders(keys[:, 1], epoch, training.shape[1])
        params, losses, correct = state.params, [], 0
        for block in source.blocks(*_batches(np.take_along_axis(training, order, 1), batch_size), labels):
            params, block_losses, block_correct = _steps(model, rates, class_weights, params, *block)
            losses.append(block_losses)
            correct += block_correct
        row = (
            np.mean(np.concatenate(losses), axis=0, dtype=np.float64),
            np.asarray(correct, np.float64) / training.shape[1],
            _accuracy(model, params, source, validation, labels, validation_weights),
        )
        state = _next_state(state, params, np.stack(row, axis=-1))
        _check_finite(state, members)
        checkpoints.save(state, finished=epoch == epochs - 1)
        advance(1)
    return [_trained_head(state, index, feature_scale) for index in range(len(members))]


def validation_split(labels: Int[np.ndarray, " N"], fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the images into training and validation images, stratified by class.

    Args:
        labels: class indices, ``(N,)``.
        fraction: share of the images for validation.
        seed: seed of the split.

    Returns:
        The sorted indices of the training images and of the validation images.

    Raises:
        InputError: there are too few images for every class to be in both parts.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.training import validation_split
        >>> train, validation = validation_split(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0)
        >>> len(train), len(validation)
        (6, 2)
    """
    classes, counts = np.unique(labels, return_counts=True)
    validation_count = math.ceil(fraction * len(labels))
    if counts.min() < 2 or not len(classes) <= validation_count <= len(labels) - len(classes):
        raise InputError(
            f"{fraction:.0%} of {len(labels)} training images cannot be set aside for validation with all "
            f"{len(classes)} classes in both parts (the smallest class has {counts.min()}); give more images of each "
            "class."
        )
    training, validation = train_test_split(
        np.arange(len(labels)), test_size=fraction, random_state=seed, stratify=labels
    )
    return np.sort(training), np.sort(validation)


def _orders(keys: Array, epoch: int, count: int) -> np.ndarray:
    """Return a random order of ``count`` images for each head, (S, count)."""
    return np.asarray(jax.vmap(lambda key: jax.random.permutation(jax.random.fold_in(key, epoch), count))(keys))


def _batches(rows: Int[np.ndarray, "S N"], size: int) -> tuple[Int[np.ndarray, "n S B"], Float[np.ndarray, "n B"]]:
    """Divide each head's rows into batches; return them with weights that are 0 for the padding of the last batch."""
    heads, count = rows.shape
    number = -(-count // size)
    missing = number * size - count
    padded = np.pad(rows, ((0, 0), (0, missing)), mode="edge").reshape(heads, number, size)
    weights = np.pad(np.ones(count, np.float32), (0, missing)).reshape(number, size)
    return np.swapaxes(padded, 0, 1), weights


@functools.partial(jax.jit, static_argnums=0)
def _steps(model: DenseHead, rates, class_weights, params, features, positions, targets, weights):
    """Take a step of SGD for each batch; return the parameters, losses (n, S) and correct predictions (S,)."""

    def loss_of(params, maps, class_weights, targets, weights):
        weights = _weighted(weights, class_weights, targets)
        logits = jnp.asarray(model.apply({"params": params}, maps))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        hits = jnp.sum(weights * (jnp.argmax(logits, axis=-1) == targets))
        return jnp.sum(weights * losses) / jnp.sum(weights), hits

    def head_step(params, rate, class_weights, positions, targets, weights):
        optimiser = optax.sgd(rate)  # without momentum, so there is no optimiser state
        gradient_of = jax.value_and_grad(loss_of, has_aux=True)
        (loss, hits), gradient = gradient_of(params, features[positions], class_weights, targets, weights)
        updates, _ = optimiser.update(gradient, optimiser.init(params), params)
        return optax.apply_updates(params, updates), (loss, hits)

    def step(params, batch):
        return jax.vmap(head_step, in_axes=(0, 0, 0, 0, 0, None))(params, rates, class_weights, *batch)

    params, (losses, hits) = jax.lax.scan(step, params, (positions, targets, weights))
    return params, losses, jnp.sum(hits, axis=0)


def _accuracy(
    model: DenseHead, params: Any, source: Source, rows: np.ndarray, labels: np.ndarray, class_weights: Any
) -> Float[Array, " S"]:
    batches = _batches(rows, min(VALIDATION_BATCH, rows.shape[1]))
    hits = sum(_hits(model, params, class_weights, *block) for block in source.blocks(*batches, labels))
    return np.asarray(hits, np.float64) / rows.shape[1]


@functools.partial(jax.jit, static_argnums=0)
def _hits(model: DenseHead, params, class_weights, features, positions, targets, weights):
    def head_hits(params, class_weights, positions, targets, weights):
        weights = _weighted(weights, class_weights, targets)
        logits = jnp.asarray(model.apply({"params": params}, features[positions]))
        return jnp.sum(weights * (jnp.argmax(logits, axis=-1) == targets))

    def step(hits, batch):
        return hits + jax.vmap(head_hits, in_axes=(0, 0, 0, 0, None))(params, class_weights, *batch), None

    return jax.lax.scan(step, jnp.zeros(positions.shape[1]), (positions, targets, weights))[0]


def class_weights_of(labels: Int[np.ndarray, "S N"], classes: int) -> Float[Array, "S C"]:
    """Return the weight N / (C n_c) of every class for each head, with n_c images of class c among its labels.

    The weighted accuracy of the labels is then the balanced accuracy, the mean of the recall of all classes.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.training import class_weights_of
        >>> [round(float(weight), 3) for weight in class_weights_of(np.array([[0, 0, 0, 1]]), 2)[0]]
        [0.667, 2.0]
    """
    counts = np.stack([np.bincount(row, minlength=classes) for row in labels])
    return jnp.asarray(labels.shape[1] / (classes * np.maximum(counts, 1)), jnp.float32)


def _weighted(weights: Array, class_weights: Array | None, targets: Array) -> Array:
    return weights if class_weights is None else weights * class_weights[targets]


def _next_state(state: State, params: Any, row: Float[np.ndarray, "S 3"]) -> State:
    """Return the state after one more epoch; the best parameters change where the validation accuracy improves."""
    accuracies = state.history[:, :, 2]
    improved = jnp.asarray(row[:, 2] > accuracies.max(axis=1, initial=-1.0))

    def best(new, old):
        return jnp.where(improved.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    history = np.concatenate([state.history, row[:, None]], axis=1)
    return State(params, jax.tree.map(best, params, state.best), history)


def _check_finite(state: State, members: Sequence[Member]) -> None:
    epoch = state.history.shape[1]
    for member, loss, finite in zip(members, state.history[:, -1, 0], _finite(state.params), strict=True):
        if not (math.isfinite(loss) and finite):
            raise InputError(
                f"training diverged in epoch {epoch} with a loss of {loss:g}; use a learning rate below "
                f"{member.learning_rate:g}."
            )


@jax.jit
def _finite(params: Any) -> Array:
    per_leaf = [jnp.all(jnp.isfinite(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(params)]
    return jnp.all(jnp.stack(per_leaf), axis=0)


def _trained_head(state: State, index: int, feature_scale: float) -> TrainedHead:
    (kernel, bias), *later = layers(jax.tree.map(lambda leaf: leaf[index], state.best))
    loss, train_accuracy, validation_accuracy = state.history[index].T.tolist()
    best_epoch = int(np.argmax(validation_accuracy)) + 1
    return TrainedHead([(kernel / feature_scale, bias), *later], best_epoch, train_accuracy, validation_accuracy, loss)

"""Training of dense heads: plain SGD on cross-entropy, the best epoch by validation, the heads of all seeds together.

The heads share the features and every compiled step (``vmap`` over the heads, ``lax.scan`` over the batches); each has
its own initial weights, order of batches and images set aside, all drawn from its seed. Features that do not fit are
gathered from their file block by block, with the same numbers as a result.
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

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import KEPT, Advance, unseen
from pcacam_jax.fitting.checkpoints import Checkpoints
from pcacam_jax.fitting.out_of_core import Source
from pcacam_jax.nets.dense_head import DenseHead, layers

VALIDATION_BATCH = 256


class Member(NamedTuple):
    """One of the heads that train together."""

    seed: int
    """Of its initial weights, the order of its batches and the images set aside."""
    learning_rate: float


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


class State(NamedTuple):
    """What training has come to after some epochs; every array has the heads as its first axis."""

    params: Any
    best: Any
    """The parameters after the best epoch so far."""
    history: np.ndarray
    """(S, epochs, 3): loss, training accuracy, validation accuracy."""


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
    pool: bool = False,
    checkpoint: Path | None = None,
    advance: Advance = unseen,
) -> list[TrainedHead]:
    """Return each member's head after its best epoch; the same members give the same bits.

    The heads are trained on features / ``feature_scale``; their first kernels are divided by that number in the end, so
    that what is returned reads the features as they are.

    Args:
        features: maps in memory or in a memory-mapped file, float32 or float16.
        labels: in 0..C-1.
        members: seed and learning rate of every head.
        sizes: widths of the layers, the number of classes last.
        activation: name of the activation.
        feature_scale: what features are divided by.
        epochs: to train for.
        batch_size: images in a batch; all of them where there are fewer.
        validation_fraction: share of the images that chooses the epoch.
        pool: whether a 2 x 2 max-pool lies between the features and the head.
        checkpoint: file where training is kept now and then, and taken up again from if it was cut off.
        advance: called with the number of epochs done since the last call.

    Raises:
        InputError: too few images of a class to divide, or a loss that is no longer finite.
    """
    source = Source(features, scale=feature_scale, pool=pool)
    parts = [divide(labels, validation_fraction, member.seed) for member in members]
    training, validation = (np.stack(rows) for rows in zip(*parts, strict=True))
    model = DenseHead(sizes=sizes, activation=activation)
    keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(
        jnp.array([member.seed for member in members], jnp.uint32)
    )
    rates = jnp.array([member.learning_rate for member in members], jnp.float32)
    batch_size = min(batch_size, training.shape[1])
    fresh = jax.vmap(lambda key: model.init(key, source.example)["params"])(keys[:, 0])
    checkpoints = Checkpoints(checkpoint)
    state = checkpoints.latest(State(fresh, fresh, np.empty((len(members), 0, 3))))
    if done := state.history.shape[1]:
        advance(done, KEPT)
    for epoch in range(done, epochs):
        order = _orders(keys[:, 1], epoch, training.shape[1])
        params, losses, correct = state.params, [], 0
        for block in source.blocks(*_batches(np.take_along_axis(training, order, 1), batch_size), labels):
            params, own_losses, own_correct = _steps(model, rates, params, *block)
            losses.append(own_losses)
            correct += own_correct
        row = (
            np.mean(np.concatenate(losses), axis=0, dtype=np.float64),
            np.asarray(correct, np.float64) / training.shape[1],
            _accuracy(model, params, source, validation, labels),
        )
        state = _advanced(state, params, np.stack(row, axis=-1))
        _check_converging(state, members)
        checkpoints.keep(state, finished=epoch == epochs - 1)
        advance(1)
    return [_head(state, index, feature_scale) for index in range(len(members))]


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


def _orders(keys: Array, epoch: int, count: int) -> np.ndarray:
    """Return a random order of ``count`` images for each head, (S, count)."""
    return np.asarray(jax.vmap(lambda key: jax.random.permutation(jax.random.fold_in(key, epoch), count))(keys))


def _batches(rows: Int[np.ndarray, "S N"], size: int) -> tuple[Int[np.ndarray, "n S B"], Float[np.ndarray, "n B"]]:
    """Cut each head's rows into batches; return them with weights that are 0 for what fills up the last one."""
    heads, count = rows.shape
    number = -(-count // size)
    missing = number * size - count
    filled = np.pad(rows, ((0, 0), (0, missing)), mode="edge").reshape(heads, number, size)
    weights = np.pad(np.ones(count, np.float32), (0, missing)).reshape(number, size)
    return np.swapaxes(filled, 0, 1), weights


@functools.partial(jax.jit, static_argnums=0)
def _steps(model: DenseHead, rates: Array, params: Any, features: Array, positions: Array, targets: Array, weights):
    """Take a step of SGD for each batch; return the parameters, the losses (n, S) and the number of hits (S,)."""

    def loss_of(params, maps, targets, weights):
        logits = jnp.asarray(model.apply({"params": params}, maps))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        hits = jnp.sum(weights * (jnp.argmax(logits, axis=-1) == targets))
        return jnp.sum(weights * losses) / jnp.sum(weights), hits

    def head_step(params, rate, positions, targets, weights):
        optimiser = optax.sgd(rate)  # without momentum, so there is no state to carry
        gradient_of = jax.value_and_grad(loss_of, has_aux=True)
        (loss, hits), gradient = gradient_of(params, features[positions], targets, weights)
        updates, _ = optimiser.update(gradient, optimiser.init(params), params)
        return optax.apply_updates(params, updates), (loss, hits)

    def step(params, batch):
        return jax.vmap(head_step, in_axes=(0, 0, 0, 0, None))(params, rates, *batch)

    params, (losses, hits) = jax.lax.scan(step, params, (positions, targets, weights))
    return params, losses, jnp.sum(hits, axis=0)


def _accuracy(
    model: DenseHead, params: Any, source: Source, rows: np.ndarray, labels: np.ndarray
) -> Float[Array, " S"]:
    batches = _batches(rows, min(VALIDATION_BATCH, rows.shape[1]))
    hits = sum(_hits(model, params, *block) for block in source.blocks(*batches, labels))
    return np.asarray(hits, np.float64) / rows.shape[1]


@functools.partial(jax.jit, static_argnums=0)
def _hits(model: DenseHead, params: Any, features: Array, positions: Array, targets: Array, weights: Array):
    def head_hits(params, positions, targets, weights):
        logits = jnp.asarray(model.apply({"params": params}, features[positions]))
        return jnp.sum(weights * (jnp.argmax(logits, axis=-1) == targets))

    def step(hits, batch):
        return hits + jax.vmap(head_hits, in_axes=(0, 0, 0, None))(params, *batch), None

    return jax.lax.scan(step, jnp.zeros(positions.shape[1]), (positions, targets, weights))[0]


def _advanced(state: State, params: Any, row: Float[np.ndarray, "S 3"]) -> State:
    """Return the state one epoch later; the best parameters change where the validation accuracy is a new highest."""
    accuracies = state.history[:, :, 2]
    better = jnp.asarray(row[:, 2] > accuracies.max(axis=1, initial=-1.0))

    def chosen(new, old):
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    history = np.concatenate([state.history, row[:, None]], axis=1)
    return State(params, jax.tree.map(chosen, params, state.best), history)


def _check_converging(state: State, members: Sequence[Member]) -> None:
    epoch = state.history.shape[1]
    for member, loss, finite in zip(members, state.history[:, -1, 0], _finite(state.params), strict=True):
        if not (math.isfinite(loss) and finite):
            raise InputError(
                f"training diverged in epoch {epoch}, its loss being {loss:g}; take a learning rate below "
                f"{member.learning_rate:g}."
            )


@jax.jit
def _finite(params: Any) -> Array:
    per_leaf = [jnp.all(jnp.isfinite(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(params)]
    return jnp.all(jnp.stack(per_leaf), axis=0)


def _head(state: State, index: int, feature_scale: float) -> TrainedHead:
    (kernel, bias), *later = layers(jax.tree.map(lambda leaf: leaf[index], state.best))
    loss, train_accuracy, validation_accuracy = state.history[index].T.tolist()
    best_epoch = int(np.argmax(validation_accuracy)) + 1
    return TrainedHead([(kernel / feature_scale, bias), *later], best_epoch, train_accuracy, validation_accuracy, loss)

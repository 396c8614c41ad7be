import os
import resource
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import CACHED
from pcacam_jax.fitting import checkpoints, out_of_core, training
from pcacam_jax.fitting.training import Member, train_heads, validation_split
from pcacam_jax.nets.dense_head import DenseHead, layers

OPTIONS = {
    "sizes": (4, 3),
    "activation": "sigmoid",
    "feature_scale": 1.0,
    "epochs": 8,
    "batch_size": 16,
    "validation_fraction": 0.2,
}


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 17)
    features = random.normal(size=(51, 2, 2, 5)).astype(np.float32)
    features[..., 0] += labels[:, None, None]
    return features, labels


def trained(data, *, seed=3, learning_rate=0.5, **changes):
    (head,) = train_heads(*data, [Member(seed, learning_rate)], **{**OPTIONS, **changes})
    return head


def leaves(head):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(head.layers)]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def numpy_epoch(weights, x, y, order, batch_size, rate, class_weights=(1.0, 1.0, 1.0)):
    """Plain SGD on the weighted mean cross-entropy of sigmoid(x W + b) V + c; the last batch is not padded."""
    w, b, v, c = (np.array(array, np.float64) for array in weights)
    losses, correct = [], 0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        xs, target = x[rows], np.eye(v.shape[1])[y[rows]]
        hidden = 1 / (1 + np.exp(-(xs @ w + b)))
        p = softmax(hidden @ v + c)
        weight = np.array(class_weights)[y[rows]]
        losses.append(-np.average(np.sum(target * np.log(p), axis=1), weights=weight))
        correct += np.sum(weight * (p.argmax(axis=1) == y[rows]))
        error = (p - target) * weight[:, None] / weight.sum()
        back = error @ v.T * hidden * (1 - hidden)
        v, c = v - rate * hidden.T @ error, c - rate * error.sum(axis=0)
        w, b = w - rate * xs.T @ back, b - rate * back.sum(axis=0)
    return (w, b, v, c), np.mean(losses), correct / len(order)


def test_an_epoch_is_plain_sgd(data):
    rows, _ = validation_split(data[1], 0.2, 3)
    assert len(rows) % 16  # so that the last batch is padded
    x, y = data[0][rows].reshape(len(rows), -1).astype(np.float64), data[1][rows]
    start_key, order_key = jax.random.split(jax.random.key(3))
    first = layers(DenseHead(sizes=(4, 3), activation="sigmoid").init(start_key, data[0][:1])["params"])
    order = np.asarray(jax.random.permutation(jax.random.fold_in(order_key, 0), len(rows)))
    expected, loss, accuracy = numpy_epoch([array for layer in first for array in layer], x, y, order, 16, 0.5)
    head = trained(data, epochs=1)
    for array, reference in zip(leaves(head), expected, strict=True):
        np.testing.assert_allclose(array, reference, rtol=1e-4, atol=1e-6)
    assert head.loss == pytest.approx([loss], rel=1e-5)
    assert head.train_accuracy == pytest.approx([accuracy])


def test_a_balanced_epoch_weights_every_class_by_its_images(data):
    chosen = np.r_[0:17, 17:27, 34:39]
    features, labels = data[0][chosen], data[1][chosen]
    rows, held_out = validation_split(labels, 0.2, 3)
    x, y = features[rows].reshape(len(rows), -1).astype(np.float64), labels[rows]
    class_weights = [len(y) / (3 * np.sum(y == c)) for c in range(3)]
    start_key, order_key = jax.random.split(jax.random.key(3))
    first = layers(DenseHead(sizes=(4, 3), activation="sigmoid").init(start_key, features[:1])["params"])
    order = np.asarray(jax.random.permutation(jax.random.fold_in(order_key, 0), len(rows)))
    start = [array for layer in first for array in layer]
    expected, loss, accuracy = numpy_epoch(start, x, y, order, 16, 0.5, class_weights)
    head = trained((features, labels), epochs=1, balance=True)
    for array, reference in zip(leaves(head), expected, strict=True):
        np.testing.assert_allclose(array, reference, rtol=1e-4, atol=1e-6)
    assert head.loss == pytest.approx([loss], rel=1e-5)
    assert head.train_accuracy == pytest.approx([accuracy])
    (w, b), (v, c) = expected[:2], expected[2:]
    outputs = (1 / (1 + np.exp(-(features[held_out].reshape(len(held_out), -1) @ w + b)))) @ v + c
    balanced = balanced_accuracy_score(labels[held_out], outputs.argmax(axis=1))
    assert head.validation_accuracy == pytest.approx([balanced])


def test_every_image_is_used_once_per_epoch():
    keys = jax.random.split(jax.random.key(0), 2)
    rows, weights = training._batches(training._orders(keys, 0, 21), 8)
    assert rows.shape == (3, 2, 8)
    assert weights.shape == (3, 8)
    for head in range(2):
        assert sorted(rows[:, head][weights == 1]) == list(range(21))
    assert not np.array_equal(rows[:, 0], rows[:, 1])
    assert np.asarray(weights)[-1].tolist() == [1] * 5 + [0] * 3


def test_a_batch_has_at_most_all_training_images(data, monkeypatch):
    sizes, steps = set(), training._steps
    monkeypatch.setattr(training, "_steps", lambda *arguments: sizes.add(arguments[-1].shape[-1]) or steps(*arguments))
    rows, _ = validation_split(data[1], 0.2, 3)
    large = trained(data, batch_size=1000)
    assert sizes == {len(rows)}
    assert same(large, trained(data, batch_size=len(rows)))
    assert np.isfinite(large.loss).all()


def test_the_same_seed_gives_the_same_bits(data):
    a, b, other = trained(data), trained(data), trained(data, seed=4)
    assert same(a, b)
    assert a.loss == b.loss
    assert a.validation_accuracy == b.validation_accuracy
    assert not same(a, other)


def test_the_parameters_of_the_first_best_epoch_are_returned(data):
    whole = trained(data, epochs=12)
    assert len(whole.loss) == len(whole.train_accuracy) == len(whole.validation_accuracy) == 12
    assert whole.best_epoch == 1 + int(np.argmax(whole.validation_accuracy))
    assert 1 < whole.best_epoch < 12  # otherwise this test shows nothing
    # With best_epoch epochs, the best epoch is the last, so its parameters are the final ones.
    assert same(whole, trained(data, epochs=whole.best_epoch))


def test_the_returned_parameters_have_the_reported_accuracy(data):
    head = trained(data)
    _, rows = validation_split(data[1], 0.2, 3)
    (w, b), (v, c) = head.layers
    hidden = jax.nn.sigmoid(data[0][rows].reshape(len(rows), -1) @ w + b)
    accuracy = np.mean(np.argmax(hidden @ v + c, axis=1) == data[1][rows])
    assert head.validation_accuracy[head.best_epoch - 1] == pytest.approx(accuracy)


def test_training_learns(data):
    head = trained(data, epochs=60)
    assert head.loss[-1] < 0.7 * head.loss[0]


def test_the_feature_scale_is_folded_into_the_first_kernel(data):
    features, labels = data
    plain = trained(data)
    scaled = trained((8 * features, labels), feature_scale=8.0)
    (kernel, bias), *later = scaled.layers
    np.testing.assert_array_equal(8 * np.asarray(kernel), plain.layers[0][0])
    np.testing.assert_array_equal(bias, plain.layers[0][1])
    np.testing.assert_array_equal(later[0][0], plain.layers[1][0])


@pytest.mark.parametrize("epochs", [1, 5])
def test_divergence_is_reported(data, epochs):
    with pytest.raises(InputError, match=r"training diverged in epoch \d.*use a learning rate below 1e\+30"):
        trained(data, activation="relu", learning_rate=1e30, epochs=epochs)


def test_an_overflow_in_the_last_step_is_reported(data):
    # The loss of the only batch is finite, but the updated parameters are not.
    options = {"activation": "relu", "learning_rate": 3e38, "batch_size": 1000, "epochs": 1}
    with pytest.raises(InputError, match=r"diverged in epoch 1 with a loss of \d"):
        trained((100 * data[0], data[1]), **options)


def test_progress_is_reported(data):
    steps = []
    trained(data, epochs=5, advance=lambda *report: steps.append(report))
    assert steps == [(1,)] * 5


@pytest.mark.parametrize("seed", [0, 1])
def test_the_validation_images_are_stratified_and_disjoint(seed):
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    training, validation = validation_split(labels, 0.2, seed)
    assert sorted([*training, *validation]) == list(range(100))
    assert np.bincount(labels[validation]).tolist() == [10, 6, 4]
    assert not np.array_equal(validation, validation_split(labels, 0.2, seed + 1)[1])


@pytest.mark.parametrize(
    ("labels", "fraction"),
    [
        (np.array([0, 0, 0, 0, 1]), 0.4),  # a class with one image
        (np.repeat([0, 1, 2], 3), 0.1),  # fewer images set aside than classes
        (np.repeat([0, 1, 2], 3), 0.9),  # fewer left than classes
    ],
)
def test_too_few_images_for_a_validation_split_are_rejected(labels, fraction):
    with pytest.raises(InputError, match=r"cannot be set aside for validation.*give more images of each class"):
        validation_split(labels, fraction, 0)


def test_parameters_are_float32(data):
    assert {leaf.dtype for leaf in jax.tree.leaves(trained(data, epochs=1).layers)} == {jnp.dtype("float32")}


SEEDS = [Member(3, 0.5), Member(5, 0.1), Member(8, 0.5)]


def test_heads_that_train_together_equal_heads_that_train_alone(data):
    together = train_heads(*data, SEEDS, **OPTIONS)
    for member, head in zip(SEEDS, together, strict=True):
        alone = trained(data, seed=member.seed, learning_rate=member.learning_rate)
        for array, reference in zip(leaves(head), leaves(alone), strict=True):
            np.testing.assert_allclose(array, reference, rtol=2e-5, atol=1e-6)
        assert head.best_epoch == alone.best_epoch
        assert head.validation_accuracy == alone.validation_accuracy


@pytest.mark.exhaustive
def test_the_divergence_of_one_of_several_heads_is_reported_with_its_learning_rate(data):
    with pytest.raises(InputError, match=r"use a learning rate below 1e\+30"):
        train_heads(*data, [Member(3, 0.5), Member(3, 1e30)], **OPTIONS | {"activation": "relu"})


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_features_in_a_file_larger_than_memory_give_the_same_heads(data, tmp_path, monkeypatch, storage):
    features = data[0].astype(storage)
    np.save(tmp_path / "maps.npy", features)
    expected = train_heads(features, data[1], SEEDS, **OPTIONS)
    monkeypatch.setattr(out_of_core, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(out_of_core, "BLOCK_BYTES", 4 * 20 * 16 * 3 * 2)  # two batches of three heads
    mapped = np.load(tmp_path / "maps.npy", mmap_mode="r")
    heads = train_heads(mapped, data[1], SEEDS, **OPTIONS)
    for head, reference in zip(heads, expected, strict=True):
        assert same(head, reference)
        assert head.loss == reference.loss
        assert head.validation_accuracy == reference.validation_accuracy


class Killed(Exception):
    pass


def interrupt(after):
    """Return an ``advance`` that interrupts training after some epochs."""
    done = []

    def advance(steps, now=""):
        done.extend([1] * steps)
        if len(done) >= after:
            raise Killed

    return advance


@pytest.mark.parametrize("after", [1, 5, 7])
def test_interrupted_training_continues_to_the_same_bits(data, tmp_path, monkeypatch, after):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0)
    expected = train_heads(*data, SEEDS, **OPTIONS)
    checkpoint = tmp_path / "training.safetensors"
    with pytest.raises(Killed):
        train_heads(*data, SEEDS, **OPTIONS, checkpoint=checkpoint, advance=interrupt(after))
    steps = []
    resumed = train_heads(*data, SEEDS, **OPTIONS, checkpoint=checkpoint, advance=lambda *report: steps.append(report))
    assert steps == [(after, CACHED)] + [(1,)] * (8 - after)
    for head, reference in zip(resumed, expected, strict=True):
        assert same(head, reference)
        assert head.loss == reference.loss
        assert head.best_epoch == reference.best_epoch
    steps.clear()
    again = train_heads(*data, SEEDS, **OPTIONS, checkpoint=checkpoint, advance=lambda *report: steps.append(report))
    assert steps == [(8, CACHED)]
    assert all(same(head, reference) for head, reference in zip(again, expected, strict=True))


@pytest.mark.parametrize("damage", [lambda whole: whole[:-50], lambda whole: b"", lambda whole: whole[:-1] + b"x"])
def test_a_damaged_checkpoint_is_ignored(data, tmp_path, damage):
    checkpoint = tmp_path / "training.safetensors"
    expected = trained(data, checkpoint=checkpoint)
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    steps = []
    assert same(trained(data, checkpoint=checkpoint, advance=lambda *report: steps.append(report)), expected)
    assert steps == [(1,)] * 8


@pytest.mark.parametrize(("age", "removed"), [(10, False), (7200, True)])
def test_unfinished_files_of_killed_processes_are_removed_after_a_while(data, tmp_path, age, removed):
    stale = tmp_path / ".training.0a1b2c3d.safetensors"
    stale.write_bytes(b"incomplete")
    os.utime(stale, (time.time() - age,) * 2)
    trained(data, checkpoint=tmp_path / "training.safetensors")
    assert stale.exists() != removed


def test_a_checkpoint_with_another_structure_is_ignored(data, tmp_path):
    checkpoint = tmp_path / "training.safetensors"
    trained(data, checkpoint=checkpoint, sizes=(5, 3))
    assert same(trained(data, checkpoint=checkpoint), trained(data))


def test_a_full_disk_is_reported_and_the_checkpoint_stays(data, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0)
    checkpoint = tmp_path / "training.safetensors"
    with pytest.raises(Killed):
        train_heads(*data, SEEDS, **OPTIONS, checkpoint=checkpoint, advance=interrupt(2))
    before, limit = checkpoint.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
        with pytest.raises(InputError, match=r"training.safetensors cannot be written \(.*\); free some disk space"):
            train_heads(*data, SEEDS, **OPTIONS, checkpoint=checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert checkpoint.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]

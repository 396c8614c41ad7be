import os
import resource
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import KEPT
from pcacam_jax.fitting import checkpoints, out_of_core, training
from pcacam_jax.fitting.training import Member, divide, train_heads
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


def numpy_epoch(weights, x, y, order, batch_size, rate):
    """Plain SGD on the mean cross-entropy of sigmoid(x W + b) V + c; the last batch is as short as it is."""
    w, b, v, c = (np.array(own, np.float64) for own in weights)
    losses, correct = [], 0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        xs, target = x[rows], np.eye(v.shape[1])[y[rows]]
        hidden = 1 / (1 + np.exp(-(xs @ w + b)))
        p = softmax(hidden @ v + c)
        losses.append(-np.mean(np.sum(target * np.log(p), axis=1)))
        correct += np.sum(p.argmax(axis=1) == y[rows])
        error = (p - target) / len(rows)
        back = error @ v.T * hidden * (1 - hidden)
        v, c = v - rate * hidden.T @ error, c - rate * error.sum(axis=0)
        w, b = w - rate * xs.T @ back, b - rate * back.sum(axis=0)
    return (w, b, v, c), np.mean(losses), correct / len(order)


def test_an_epoch_is_plain_sgd(data):
    rows, _ = divide(data[1], 0.2, 3)
    assert len(rows) % 16  # so that the last batch is filled up
    x, y = data[0][rows].reshape(len(rows), -1).astype(np.float64), data[1][rows]
    start_key, order_key = jax.random.split(jax.random.key(3))
    first = layers(DenseHead(sizes=(4, 3), activation="sigmoid").init(start_key, data[0][:1])["params"])
    order = np.asarray(jax.random.permutation(jax.random.fold_in(order_key, 0), len(rows)))
    expected, loss, accuracy = numpy_epoch([own for layer in first for own in layer], x, y, order, 16, 0.5)
    ours = trained(data, epochs=1)
    for own, reference in zip(leaves(ours), expected, strict=True):
        np.testing.assert_allclose(own, reference, rtol=1e-4, atol=1e-6)
    assert ours.loss == pytest.approx([loss], rel=1e-5)
    assert ours.train_accuracy == pytest.approx([accuracy])


def test_every_image_is_seen_once_an_epoch():
    keys = jax.random.split(jax.random.key(0), 2)
    rows, weights = training._batches(training._orders(keys, 0, 21), 8)
    assert rows.shape == (3, 2, 8)
    assert weights.shape == (3, 8)
    for head in range(2):
        assert sorted(rows[:, head][weights == 1]) == list(range(21))
    assert not np.array_equal(rows[:, 0], rows[:, 1])
    assert np.asarray(weights)[-1].tolist() == [1] * 5 + [0] * 3


def test_batches_larger_than_the_data_are_as_large_as_the_data(data, monkeypatch):
    sizes, steps = set(), training._steps
    monkeypatch.setattr(training, "_steps", lambda *given: sizes.add(given[-1].shape[-1]) or steps(*given))
    rows, _ = divide(data[1], 0.2, 3)
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


def test_the_first_best_epoch_is_kept(data):
    whole = trained(data, epochs=12)
    assert len(whole.loss) == len(whole.train_accuracy) == len(whole.validation_accuracy) == 12
    assert whole.best_epoch == 1 + int(np.argmax(whole.validation_accuracy))
    assert 1 < whole.best_epoch < 12  # else this shows nothing
    # The best of as many epochs is the last of them, so these are its parameters.
    assert same(whole, trained(data, epochs=whole.best_epoch))


def test_the_kept_parameters_have_the_accuracy_that_is_told(data):
    head = trained(data)
    _, rows = divide(data[1], 0.2, 3)
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
def test_divergence_is_told(data, epochs):
    with pytest.raises(InputError, match=r"training diverged in epoch \d.*take a learning rate below 1e\+30"):
        trained(data, activation="relu", learning_rate=1e30, epochs=epochs)


def test_parameters_that_overflow_in_the_last_step_are_told(data):
    # One batch: its loss is still finite, what follows from it is not.
    options = {"activation": "relu", "learning_rate": 3e38, "batch_size": 1000, "epochs": 1}
    with pytest.raises(InputError, match=r"diverged in epoch 1, its loss being \d"):
        trained((100 * data[0], data[1]), **options)


def test_progress_is_told(data):
    steps = []
    trained(data, epochs=5, advance=lambda *told: steps.append(told))
    assert steps == [(1,)] * 5


@pytest.mark.parametrize("seed", [0, 1])
def test_the_validation_part_is_stratified_and_apart(seed):
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    training, validation = divide(labels, 0.2, seed)
    assert sorted([*training, *validation]) == list(range(100))
    assert np.bincount(labels[validation]).tolist() == [10, 6, 4]
    assert not np.array_equal(validation, divide(labels, 0.2, seed + 1)[1])


@pytest.mark.parametrize(
    ("labels", "fraction"),
    [
        (np.array([0, 0, 0, 0, 1]), 0.4),  # a class with one image
        (np.repeat([0, 1, 2], 3), 0.1),  # fewer images set aside than classes
        (np.repeat([0, 1, 2], 3), 0.9),  # fewer left than classes
    ],
)
def test_too_few_images_to_divide_are_refused(labels, fraction):
    with pytest.raises(InputError, match=r"cannot be set aside for validation.*give more images of each class"):
        divide(labels, fraction, 0)


def test_float32_is_kept(data):
    assert {leaf.dtype for leaf in jax.tree.leaves(trained(data, epochs=1).layers)} == {jnp.dtype("float32")}


SEEDS = [Member(3, 0.5), Member(5, 0.1), Member(8, 0.5)]


def test_heads_that_train_together_are_what_each_is_alone(data):
    together = train_heads(*data, SEEDS, **OPTIONS)
    for member, head in zip(SEEDS, together, strict=True):
        alone = trained(data, seed=member.seed, learning_rate=member.learning_rate)
        for own, reference in zip(leaves(head), leaves(alone), strict=True):
            np.testing.assert_allclose(own, reference, rtol=2e-5, atol=1e-6)
        assert head.best_epoch == alone.best_epoch
        assert head.validation_accuracy == alone.validation_accuracy


def test_one_of_several_that_diverges_is_told_with_its_own_rate(data):
    with pytest.raises(InputError, match=r"take a learning rate below 1e\+30"):
        train_heads(*data, [Member(3, 0.5), Member(3, 1e30)], **OPTIONS | {"activation": "relu"})


@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize("pool", [False, True])
def test_features_in_a_file_larger_than_memory_give_the_same_heads(data, tmp_path, monkeypatch, storage, pool):
    features = data[0].astype(storage)
    np.save(tmp_path / "maps.npy", features)
    expected = train_heads(features, data[1], SEEDS, **OPTIONS, pool=pool)
    monkeypatch.setattr(out_of_core, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(out_of_core, "BLOCK_BYTES", 4 * 20 * 16 * 3 * 2)  # two batches of three heads
    mapped = np.load(tmp_path / "maps.npy", mmap_mode="r")
    ours = train_heads(mapped, data[1], SEEDS, **OPTIONS, pool=pool)
    for own, reference in zip(ours, expected, strict=True):
        assert same(own, reference)
        assert own.loss == reference.loss
        assert own.validation_accuracy == reference.validation_accuracy


def test_the_pool_lies_before_the_head(data):
    features = data[0]
    pooled = features.max(axis=(1, 2), keepdims=True)
    assert same(trained((features, data[1]), pool=True), trained((pooled, data[1])))


class Killed(Exception):
    pass


def cut_off(after):
    """Return an ``advance`` that ends training after some epochs."""
    done = []

    def advance(steps, now=""):
        done.extend([1] * steps)
        if len(done) >= after:
            raise Killed

    return advance


@pytest.mark.parametrize("after", [1, 5, 7])
def test_training_that_was_cut_off_goes_on_to_the_same_bits(data, tmp_path, monkeypatch, after):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0)
    expected = train_heads(*data, SEEDS, **OPTIONS)
    kept = tmp_path / "training.safetensors"
    with pytest.raises(Killed):
        train_heads(*data, SEEDS, **OPTIONS, checkpoint=kept, advance=cut_off(after))
    steps = []
    resumed = train_heads(*data, SEEDS, **OPTIONS, checkpoint=kept, advance=lambda *told: steps.append(told))
    assert steps == [(after, KEPT)] + [(1,)] * (8 - after)
    for own, reference in zip(resumed, expected, strict=True):
        assert same(own, reference)
        assert own.loss == reference.loss
        assert own.best_epoch == reference.best_epoch
    steps.clear()
    again = train_heads(*data, SEEDS, **OPTIONS, checkpoint=kept, advance=lambda *told: steps.append(told))
    assert steps == [(8, KEPT)]
    assert all(same(own, reference) for own, reference in zip(again, expected, strict=True))


@pytest.mark.parametrize("damage", [lambda whole: whole[:-50], lambda whole: b"", lambda whole: whole[:-1] + b"x"])
def test_a_damaged_checkpoint_is_not_taken_up(data, tmp_path, damage):
    kept = tmp_path / "training.safetensors"
    expected = trained(data, checkpoint=kept)
    kept.write_bytes(damage(kept.read_bytes()))
    steps = []
    assert same(trained(data, checkpoint=kept, advance=lambda *told: steps.append(told)), expected)
    assert steps == [(1,)] * 8


@pytest.mark.parametrize(("age", "removed"), [(10, False), (7200, True)])
def test_what_a_killed_process_left_unfinished_is_removed_in_time(data, tmp_path, age, removed):
    torn = tmp_path / ".training.0a1b2c3d.safetensors"
    torn.write_bytes(b"torn")
    os.utime(torn, (time.time() - age,) * 2)
    trained(data, checkpoint=tmp_path / "training.safetensors")
    assert torn.exists() != removed


def test_a_checkpoint_of_another_training_is_not_taken_up(data, tmp_path):
    kept = tmp_path / "training.safetensors"
    trained(data, checkpoint=kept, sizes=(5, 3))
    assert same(trained(data, checkpoint=kept), trained(data))


def test_a_full_disk_is_told_and_what_was_kept_stays(data, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0)
    kept = tmp_path / "training.safetensors"
    with pytest.raises(Killed):
        train_heads(*data, SEEDS, **OPTIONS, checkpoint=kept, advance=cut_off(2))
    before, limit = kept.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
        with pytest.raises(InputError, match=r"training.safetensors cannot be written \(.*\); make room there"):
            train_heads(*data, SEEDS, **OPTIONS, checkpoint=kept)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert kept.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]

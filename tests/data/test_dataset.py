import re

import numpy as np
import pytest
from PIL import Image

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import ArraySplit, Dataset, FolderSplit

LABELS = np.array([0, 1, 1, 0, 1], np.int64)


def draw(*shape):
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


def resized(array, size):
    return np.asarray(Image.fromarray(array).resize((size, size), Image.Resampling.BILINEAR))


def folder_split(root):
    paths = tuple(root / f"{i}.png" for i in range(len(LABELS)))
    for path, array in zip(paths, draw(5, 40, 50, 3), strict=True):
        Image.fromarray(array).save(path)
    return FolderSplit(root, paths, LABELS)


@pytest.fixture(params=["arrays", "folder"])
def split(request, tmp_path):
    """The same five images as an array split and as a folder split."""
    return ArraySplit(draw(5, 40, 50, 3), LABELS) if request.param == "arrays" else folder_split(tmp_path)


@pytest.mark.parametrize("size", [32, 45])
def test_colour_is_resized_as_pillow_does(split, size):
    images = split.images([4, 0], size)
    assert images.shape == (2, size, size, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, [resized(draw(5, 40, 50, 3)[i], size) for i in (4, 0)])


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 28, 28, 1), (5, 60, 41), (5, 1, 1)])
def test_grey_is_resized_and_repeated(shape):
    pixels = draw(*shape)
    images = ArraySplit(pixels, LABELS).images([2], 33)
    expected = resized(pixels[2].reshape(shape[1:3]), 33)
    np.testing.assert_array_equal(images[0], np.repeat(expected[..., None], 3, axis=2))


def test_colour_of_the_requested_size_is_unchanged():
    pixels = draw(5, 32, 32, 3)
    np.testing.assert_array_equal(ArraySplit(pixels, LABELS).images(slice(None), 32), pixels)


@pytest.mark.parametrize("selection", [[1, 2, 4], slice(1, 3), np.array([3]), LABELS == 1, np.array([], int), [-1]])
def test_indices_select_as_in_numpy(split, selection):
    np.testing.assert_array_equal(split.images(selection, 32), split.images(slice(None), 32)[selection])


def test_an_index_past_the_end_is_an_index_error(split):
    with pytest.raises(IndexError):
        split.images([5], 32)


def test_too_small_a_size_is_rejected(split):
    with pytest.raises(InputError, match="at least 32 pixels, got 31"):
        split.images([0], 31)


def test_take_keeps_images_and_labels_together():
    split = ArraySplit(draw(5, 40, 50, 3), LABELS)
    taken = split.take(np.array([4, 0]))
    assert len(taken) == 2
    np.testing.assert_array_equal(taken.labels, [1, 0])
    np.testing.assert_array_equal(taken.images([0], 32), split.images([4], 32))


def test_array_fingerprint_depends_on_the_pixels_only():
    pixels = draw(5, 28, 28)
    fingerprint = ArraySplit(pixels, LABELS).fingerprint()
    assert ArraySplit(pixels.copy(), 1 - LABELS, "elsewhere").fingerprint() == fingerprint
    assert ArraySplit(pixels[::-1], LABELS).fingerprint() != fingerprint
    pixels[3, 14, 2] ^= 1
    assert ArraySplit(pixels, LABELS).fingerprint() != fingerprint


def test_folder_fingerprint_depends_on_names_and_bytes(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    split = folder_split(tmp_path / "here")
    fingerprint = split.fingerprint()
    assert split.fingerprint() == fingerprint
    assert folder_split(tmp_path / "there").fingerprint() == fingerprint

    renamed = (split.paths[0].rename(tmp_path / "here" / "other.png"), *split.paths[1:])
    assert FolderSplit(split.root, renamed, LABELS).fingerprint() != fingerprint

    changed = folder_split(tmp_path / "there")
    array = np.array(Image.open(changed.paths[2]))
    array[0, 0, 0] ^= 1
    Image.fromarray(array).save(changed.paths[2])
    assert changed.fingerprint() != fingerprint


def test_fingerprint_of_a_deleted_file_raises(tmp_path):
    split = folder_split(tmp_path)
    split.paths[1].unlink()
    with pytest.raises(InputError, match=r"1\.png cannot be read"):
        split.fingerprint()


def test_files_are_opened_on_demand(tmp_path):
    split = folder_split(tmp_path)
    split.paths[1].write_bytes(b"no image")
    assert split.images([0, 2], 32).shape == (2, 32, 32, 3)
    with pytest.raises(InputError, match=re.escape(str(split.paths[1]))):
        split.images([0, 1], 32)


@pytest.mark.parametrize(
    ("pixels", "labels", "sentence"),
    [
        (draw(5, 28, 28) / 255, LABELS, "must be uint8, 0 to 255, but they are float64"),
        (np.full((5, 28, 28), np.nan, np.float32), LABELS, "must be uint8"),
        (draw(5, 28, 28).astype(np.int64), LABELS, "must be uint8"),
        (draw(5, 784), LABELS, r"must have shape .* but it is \(5, 784\)"),
        (draw(5, 3, 28, 28), LABELS, r"must have shape .* but it is \(5, 3, 28, 28\)"),
        (draw(5, 28, 28, 4), LABELS, "must have shape"),
        (draw(5, 28, 28, 3, 1), LABELS, "must have shape"),
        (draw(5, 0, 28), LABELS, "must have shape"),
        (draw(4, 28, 28), LABELS, "4 images and 5 labels"),
        (draw(5, 28, 28), LABELS.astype(np.int32), r"must be \(N,\) int64, but they are \(5,\) int32"),
        (draw(5, 28, 28), LABELS[:, None], r"must be \(N,\) int64, but they are \(5, 1\)"),
    ],
)
def test_wrong_arrays_are_rejected(pixels, labels, sentence):
    with pytest.raises(InputError, match=sentence):
        ArraySplit(pixels, labels)


def test_a_folder_split_checks_its_labels(tmp_path):
    with pytest.raises(InputError, match="1 images and 5 labels"):
        FolderSplit(tmp_path, (tmp_path / "image.png",), LABELS)


@pytest.mark.parametrize(
    ("names", "rows", "sentence"),
    [
        ((), slice(None), r"at least 2 classes, but it has 0 \(none\)"),
        (("cat",), slice(None), r"at least 2 classes, but it has 1 \(cat\)"),
        (("cat", "cat"), slice(None), "cat occurs more than once; rename the classes"),
        (("cat", "dog"), slice(0), "test split of pets must hold images"),
        (("cat", ""), slice(None), "class names of pets must be non-empty strings, but one is ''; name every class"),
        ((" ", "dog"), slice(None), "must be non-empty strings, but one is ' '"),
        ((0, 1), slice(None), "class names of pets must be non-empty strings, but one is 0; name every class"),
    ],
)
def test_wrong_datasets_are_rejected(names, rows, sentence):
    split = ArraySplit(draw(5, 28, 28), LABELS)
    with pytest.raises(InputError, match=sentence):
        Dataset("pets", names, split, split.take(rows))


def test_every_class_needs_a_training_image_but_no_test_image():
    split = ArraySplit(draw(5, 28, 28), LABELS * 2)
    sentence = r"train split of pets must hold images of every class, but it has none of dog, fox; add some or remove"
    with pytest.raises(InputError, match=sentence):
        Dataset("pets", ("cat", "dog", "eel", "fox"), split, split)
    whole = ArraySplit(draw(5, 28, 28), np.array([0, 1, 2, 0, 1]))
    dataset = Dataset("pets", ("cat", "dog", "eel"), whole, split)
    limited = dataset.limited(1)
    assert np.bincount(limited.train.labels).tolist() == [1, 1, 1]
    assert np.bincount(limited.test.labels).tolist() == [1, 0, 1]


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_without_a_name_are_rejected(label):
    split = ArraySplit(draw(5, 28, 28), LABELS)
    wrong = ArraySplit(draw(5, 28, 28), np.where(LABELS, label, 0))
    with pytest.raises(InputError, match=r"train labels of pets must lie in 0\.\.1"):
        Dataset("pets", ("cat", "dog"), wrong, split)


def test_only_datasets_of_small_images_explain_small_images(tmp_path):
    path = tmp_path / "small.png"
    Image.fromarray(draw(28, 31, 3)).save(path)
    split = FolderSplit(tmp_path, (path,), np.zeros(1, np.int64))
    assert split.shortest_side == 32
    with pytest.raises(InputError, match="at least 32 x 32"):
        split.images([0], 96)
    assert ArraySplit(draw(5, 28, 31), LABELS).shortest_side == 28

"""Images that lie in both splits are found, whatever their source and format, and each file is read once."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import ArraySplit, Dataset, FolderSplit, RecordSplit, digests, read_dataset
from pcacam_jax.data.duplicates import shared_images, shared_images_warning

PIXELS = np.random.default_rng(5).integers(0, 256, (12, 36, 36), np.uint8)
LABELS = np.arange(6) % 2


def dataset(train, test):
    return Dataset("pets", ("cat", "dog"), train, test)


def write(folder, rows, suffix=".png", **options):
    folder.mkdir(exist_ok=True)
    paths = tuple(folder / f"{i}{suffix}" for i in range(len(rows)))
    for path, row in zip(paths, rows, strict=True):
        Image.fromarray(PIXELS[row]).save(path, **options)
    return FolderSplit(folder, paths, LABELS)


def as_records(rows):
    records = []
    for row in rows:
        Image.fromarray(PIXELS[row]).save(buffer := io.BytesIO(), "png")
        records.append({"image": buffer.getvalue()})
    keys = np.stack([np.frombuffer(digests.digest_image(io.BytesIO(each["image"])), np.uint8) for each in records])
    return RecordSplit(records, "image", np.arange(len(rows)), LABELS, keys, "records")


TRAIN, TEST = [0, 1, 2, 3, 4, 5], [6, 4, 7, 1, 1, 8]
PAIRS = [(1, 3), (4, 1)]


@pytest.mark.parametrize("kind", ["arrays", "files", "records"])
def test_images_in_both_splits_are_found(tmp_path, kind):
    make = {
        "arrays": lambda name, rows: ArraySplit(PIXELS[rows], LABELS),
        "files": lambda name, rows: write(tmp_path / name, rows),
        "records": lambda name, rows: as_records(rows),
    }[kind]
    data = dataset(make("train", TRAIN), make("test", TEST))
    assert shared_images(data) == PAIRS
    names = "1.png (test: 3.png), 4.png (test: 1.png)"
    if kind != "files":
        names = "image 1 (test: image 3), image 4 (test: image 1)"
    assert shared_images_warning(data) == (
        "2 of the 6 training images of pets are the same images as test images, so that they lie in both splits and "
        f"the test scores are too high: {names}; remove them from one split."
    )
    assert shared_images_warning(dataset(make("train", TRAIN), make("other", range(6, 12)))) is None


def test_at_most_three_images_are_named_and_names_can_be_printed(tmp_path):
    train = write(tmp_path / "train", TRAIN)
    renamed = train.paths[0].rename(tmp_path / "train" / "caf\udce9.png")
    train = FolderSplit(train.root, (renamed, *train.paths[1:]), LABELS)
    sentence = shared_images_warning(dataset(train, write(tmp_path / "test", TRAIN)))
    assert sentence.startswith("6 of the 6 training images of pets are the same images as test images")
    assert r"caf\xe9.png (test: 0.png), 1.png (test: 1.png), 2.png (test: 2.png), ...; remove" in sentence
    assert sentence.encode()


def test_a_division_names_the_rows_of_the_source(tmp_path):
    twice = np.concatenate([PIXELS[:6], PIXELS[:6]])
    np.savez(tmp_path / "shapes.npz", images=twice, labels=np.tile(LABELS, 2))
    data = read_dataset(tmp_path / "shapes.npz", test_fraction=0.5)
    pairs = shared_images(data)
    assert pairs
    for train, test in pairs:
        np.testing.assert_array_equal(data.train.pixels[train], data.test.pixels[test])
        assert (data.division["train"][train] - data.division["test"][test]) % 6 == 0
    train, test = pairs[0]
    names = f"image {data.division['train'][train]} (test: image {data.division['test'][test]})"
    assert names in shared_images_warning(data)
    assert shared_images_warning(data).endswith("; remove the copies.")


def test_shapes_are_part_of_what_is_compared():
    flat, tall = np.zeros((2, 6, 4), np.uint8), np.zeros((2, 4, 6), np.uint8)
    labels = np.array([0, 1])
    assert shared_images(dataset(ArraySplit(flat, labels), ArraySplit(tall, labels))) == []
    assert shared_images(dataset(ArraySplit(flat, labels), ArraySplit(flat[..., None], labels))) == [(0, 0), (1, 0)]


def test_the_same_pixels_in_another_format_have_the_same_maps(tmp_path):
    data = dataset(write(tmp_path / "train", TRAIN), write(tmp_path / "test", TEST, ".bmp"))
    assert shared_images(data) == []
    images = {name: getattr(data, name).images(slice(None), 36) for name in ("train", "test")}
    assert shared_images(data, images) == PAIRS
    vanished = {name: np.zeros_like(each) for name, each in images.items()}
    assert shared_images(data, vanished) == []


def test_an_unchanged_file_is_read_once_and_a_changed_one_again(tmp_path, monkeypatch):
    split = write(tmp_path / "train", TRAIN)
    monkeypatch.setattr(digests, "_SETTLED", -(10**18))
    first, opened = split.fingerprint(), []
    original = digests.digest_image
    monkeypatch.setattr(digests, "digest_image", lambda file: opened.append(file.name) or original(file))
    assert split.fingerprint() == first
    assert len(split.digests) == 6
    assert opened == []
    shutil.copy(split.paths[0], split.paths[5])
    assert split.fingerprint() != first
    assert opened == [str(split.paths[5])]


def test_a_file_that_was_changed_just_now_is_always_read(tmp_path, monkeypatch):
    """On some file systems its times do not show the next change."""
    path, read = tmp_path / "image.png", []
    original = digests.digest_image
    monkeypatch.setattr(digests, "digest_image", lambda file: read.append(file.name) or original(file))
    path.write_bytes(b"image")
    assert digests.digest_file(path) == digests.digest_file(path)
    assert len(read) == 2


def test_a_missing_file_is_rejected(tmp_path):
    split = write(tmp_path / "train", TRAIN)
    split.paths[2].unlink()
    with pytest.raises(InputError, match=r"2\.png cannot be read \(No such file or directory\)"):
        shared_images(dataset(split, split))


@pytest.mark.parametrize("kind", ["png", "gif", "tiff", "jpeg"])
def test_only_transparent_and_deep_images_have_another_digest_than_their_bytes(tmp_path, kind):
    """Caches of other images stay valid."""
    import hashlib

    def marked(image, **options):
        image.save(buffer := io.BytesIO(), kind, **options)
        buffer.seek(0)
        return digests.digest_image(buffer) != hashlib.sha256(buffer.getvalue()).digest()

    grey = Image.fromarray(PIXELS[0])
    assert not marked(grey)
    if kind in ("png", "gif"):
        assert marked(grey.convert("P"), transparency=3)
    if kind in ("png", "tiff"):
        assert marked(grey.convert("RGBA"))
        assert marked(Image.fromarray(PIXELS[0].astype(np.uint16)))

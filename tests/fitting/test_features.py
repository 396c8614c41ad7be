import shutil
from collections import namedtuple

import jax
import numpy as np
import pytest
from PIL import Image
from support.marks import more
from support.small_runs import pictures, random_params

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import CACHED
from pcacam_jax.data import ArraySplit, FolderSplit
from pcacam_jax.fitting import features
from pcacam_jax.fitting.features import ACCELERATOR_BATCH, BATCH, cached_features, extract_all
from pcacam_jax.nets import vgg16

OPTIONS = {"size": 32, "tap": "block5_pool", "scaling": "caffe", "dtype": "float32"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path))
    return tmp_path / "features"


@pytest.fixture
def extracted(monkeypatch):
    """Replace VGG16 by a function that returns zeros; return the list of its batches."""
    calls = []

    def extract(params, images, *, tap, scaling, dtype):
        calls.append(images)
        return np.zeros((len(images), *vgg16.maps_shape(images.shape[1:3], tap)), np.float32)

    monkeypatch.setattr(features, "extract", extract)
    return calls


class Steps(list):
    """The reported progress."""

    def __call__(self, steps, now=""):
        self.append((steps, now))


def split(count=7, seed=0):
    return ArraySplit(*pictures(count, seed))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), more("bfloat16", 3e-2)])
def test_features_are_the_maps_of_vgg16(cache, small_params, dtype, tolerance):
    images = split()
    steps = Steps()
    maps = cached_features(small_params, "w", images, **OPTIONS | {"dtype": dtype}, advance=steps)
    assert maps.shape == (21, 1, 1, 512)
    assert maps.dtype == np.float32
    assert steps == [(0, "checking the images"), (16, ""), (5, "")]
    expected = np.asarray(vgg16.features(small_params, images.images(slice(14, 21), 32), dtype=dtype))
    assert np.linalg.norm(maps[14:] - expected) < tolerance * np.linalg.norm(expected)


def test_bfloat16_is_close_to_float32_but_different(cache, small_params):
    near = cached_features(small_params, "w", split(2), **OPTIONS | {"dtype": "bfloat16"})
    exact = cached_features(small_params, "w", split(2), **OPTIONS)
    assert 1e-5 < np.linalg.norm(near - exact) / np.linalg.norm(exact) < 5e-2


def test_a_second_call_reads_the_cache(cache, extracted):
    first = cached_features({}, "w", split(), **OPTIONS)
    count, steps = len(extracted), Steps()
    again = cached_features({}, "w", split(), **OPTIONS, advance=steps)
    assert len(extracted) == count
    assert steps == [(21, CACHED)]
    assert isinstance(again, np.memmap)
    assert not again.flags.writeable
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("digest", "seed", "change"),
    [
        ("other", 0, {}),
        ("w", 1, {}),
        ("w", 0, {"tap": "block5_conv3"}),
        ("w", 0, {"size": 64}),
        ("w", 0, {"scaling": "unit"}),
        ("w", 0, {"dtype": "bfloat16"}),
        ("w", 0, {"storage": "float16"}),
    ],
)
def test_every_setting_that_changes_the_features_changes_the_folder(cache, extracted, digest, seed, change):
    cached_features({}, "w", split(), **OPTIONS)
    count = len(extracted)
    cached_features({}, digest, split(seed=seed), **OPTIONS | change)
    assert len(extracted) > count
    assert len(list(cache.iterdir())) == 2


def test_the_folder_keeps_the_name_that_it_had_before(cache, extracted):
    cached_features({}, "w", ArraySplit(*pictures(20, 0)), **OPTIONS)
    assert [folder.name for folder in cache.iterdir()] == ["335efac76f6070ffcf1e49c6112ead27"]


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (3, [4]), (BATCH, [BATCH]), (2 * BATCH + 5, [BATCH, BATCH, 8])])
def test_batches_of_a_few_images_have_few_sizes(extracted, count, sizes):
    images = split().images(np.arange(count) % 21, 32)
    maps = extract_all({}, images, tap="block5_conv3", scaling="caffe", dtype="float32")
    assert maps.shape == (count, 2, 2, 512)
    assert [len(batch) for batch in extracted] == sizes
    np.testing.assert_array_equal(np.concatenate(extracted)[:count], images)


def test_an_accelerator_has_its_own_folder(cache, extracted, monkeypatch):
    """Its rounding differs, so an extraction that began on a CPU must not continue on an accelerator."""
    cached_features({}, "w", split(), **OPTIONS)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    cached_features({}, "w", split(), **OPTIONS)
    assert len(list(cache.iterdir())) == 2


def test_labels_do_not_enter_the_key(cache, extracted):
    images, labels = pictures(7, 0)
    cached_features({}, "w", ArraySplit(images, labels), **OPTIONS)
    count = len(extracted)
    cached_features({}, "w", ArraySplit(images, labels[::-1].copy()), **OPTIONS)
    assert len(extracted) == count


def test_every_batch_has_one_shape(cache, extracted):
    cached_features({}, "w", split(), **OPTIONS)
    assert {batch.shape for batch in extracted} == {(BATCH, 32, 32, 3)}


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError])
def test_an_interrupted_extraction_continues_where_it_stopped(cache, extracted, monkeypatch, error):
    class Failing(ArraySplit):
        def images(self, indices, size):
            if indices[0] >= 32:
                raise error("stop")
            return super().images(indices, size)

    monkeypatch.setattr(features, "CHUNK_BATCHES", 1)
    with pytest.raises(error):
        cached_features({}, "w", Failing(*pictures(20, 0)), **OPTIONS)
    assert len(extracted) == 2
    steps = Steps()
    cached_features({}, "w", split(20), **OPTIONS, advance=steps)
    assert len(extracted) == 4
    assert steps == [(16, CACHED), (16, CACHED), (0, "checking the images"), (16, ""), (12, "")]


def test_a_full_disk_is_reported_before_the_extraction(cache, extracted, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 1000))
    with pytest.raises(InputError, match="free some disk space, set PCACAM_CACHE"):
        cached_features({}, "w", split(), **OPTIONS)
    assert not extracted


def test_a_cache_that_is_not_writable_is_rejected(tmp_path, monkeypatch, extracted):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="cannot be written to"):
        cached_features({}, "w", split(), **OPTIONS)


def test_float16_holds_the_same_maps_in_half_the_bytes(cache, small_params):
    exact = cached_features(small_params, "w", split(), **OPTIONS)
    half = cached_features(small_params, "w", split(), **OPTIONS, storage="float16")
    assert half.dtype == np.float16
    assert half.nbytes * 2 == exact.nbytes
    np.testing.assert_array_equal(half, exact.astype(np.float16))
    again = cached_features(small_params, "w", split(), **OPTIONS, storage="float16")
    np.testing.assert_array_equal(half, again)


@pytest.mark.parametrize(
    ("value", "storage", "sentence"),
    [
        (
            7e4,
            "float16",
            "must be below 65504 to be stored as float16, but image 20 has 70000; store the features as float32",
        ),
        (np.nan, "float32", "must be finite, but those of image 20 are not"),
        (np.inf, "float16", "must be finite, but those of image 20 are not"),
    ],
)
def test_maps_that_cannot_be_stored_are_rejected(cache, monkeypatch, value, storage, sentence):
    calls = []

    def extract(params, images, **_):
        calls.append(images)
        maps = np.zeros((len(images), 1, 1, 512), np.float32)
        maps[4, 0, 0, 7] = value * (len(calls) == 2)  # image 16 + 4
        return np.nan_to_num(maps) if len(calls) == 1 else maps

    monkeypatch.setattr(features, "extract", extract)
    with pytest.raises(InputError, match=sentence):
        cached_features({}, "w", split(), **OPTIONS, storage=storage)


def test_an_unknown_storage_is_rejected(cache, extracted):
    with pytest.raises(InputError, match="storage must be one of float32, float16; got 'float64'"):
        cached_features({}, "w", split(), **OPTIONS, storage="float64")


def test_an_accelerator_gets_larger_batches(cache, extracted, monkeypatch):
    small = np.array(cached_features({}, "w", split(), **OPTIONS))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    large = cached_features({}, "other", split(), **OPTIONS)
    assert [len(batch) for batch in extracted] == [BATCH, BATCH, ACCELERATOR_BATCH]
    np.testing.assert_array_equal(small, large)


def test_an_unreadable_image_is_reported_before_the_extraction(cache, extracted, tmp_path):
    for index in range(40):
        Image.fromarray(np.full((32, 32), index, np.uint8)).save(tmp_path / f"{index:02}.png")
    (tmp_path / "25.png").write_bytes((tmp_path / "25.png").read_bytes()[:40])
    folder = FolderSplit(tmp_path, tuple(sorted(tmp_path.glob("*.png"))), np.zeros(40, np.int64))
    with pytest.raises(InputError, match=r"25\.png cannot be decoded.* 1 of the 40 images"):
        cached_features({}, "w", folder, **OPTIONS)
    assert not extracted


def test_random_weights_distinguish_images(small_params):
    """The other tests rely on this."""
    maps = np.asarray(vgg16.features(small_params, split(2).images(slice(None), 32)))
    assert np.std(maps, axis=0).max() > 0.01 * maps.max()
    other = vgg16.features(random_params(1), split(2).images(slice(None), 32))
    assert not np.allclose(maps, other)

import shutil
from collections import namedtuple

import numpy as np
import pytest
from small_runs import pictures, random_params

from pcacam_jax import features
from pcacam_jax.checks import InputError
from pcacam_jax.data import ArraySplit
from pcacam_jax.features import BATCH, cached_features
from pcacam_jax.nets import vgg16

OPTIONS = {"size": 32, "tap": "block5_pool", "scaling": "caffe", "dtype": "float32"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path))
    return tmp_path / "features"


@pytest.fixture
def extracted(monkeypatch):
    """Replace VGG16 by zeros and return the list of batches that were asked for."""
    calls = []

    def extract(params, images, *, tap, scaling, dtype):
        calls.append(images)
        return np.zeros((len(images), *vgg16.maps_shape(images.shape[1:3], tap)), np.float32)

    monkeypatch.setattr(features, "extract", extract)
    return calls


def split(count=7, seed=0):
    return ArraySplit(*pictures(count, seed))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 3e-2)])
def test_they_are_vgg16s_own_maps(cache, small_params, dtype, tolerance):
    own = split()
    steps = []
    maps = cached_features(small_params, "w", own, **OPTIONS | {"dtype": dtype}, advance=steps.append)
    assert maps.shape == (21, 1, 1, 512)
    assert maps.dtype == np.float32
    assert steps == [16, 5]
    expected = np.asarray(vgg16.features(small_params, own.images(slice(14, 21), 32), dtype=dtype))
    assert np.linalg.norm(maps[14:] - expected) < tolerance * np.linalg.norm(expected)


def test_bfloat16_is_near_float32_but_not_it(cache, small_params):
    near = cached_features(small_params, "w", split(2), **OPTIONS | {"dtype": "bfloat16"})
    exact = cached_features(small_params, "w", split(2), **OPTIONS)
    assert 1e-5 < np.linalg.norm(near - exact) / np.linalg.norm(exact) < 5e-2


def test_the_second_time_they_come_from_the_cache(cache, extracted):
    first = cached_features({}, "w", split(), **OPTIONS)
    count, steps = len(extracted), []
    again = cached_features({}, "w", split(), **OPTIONS, advance=steps.append)
    assert len(extracted) == count
    assert steps == [21]
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
    ],
)
def test_whatever_changes_them_makes_a_new_file(cache, extracted, digest, seed, change):
    cached_features({}, "w", split(), **OPTIONS)
    count = len(extracted)
    cached_features({}, digest, split(seed=seed), **OPTIONS | change)
    assert len(extracted) > count
    assert len(list(cache.iterdir())) == 2


def test_labels_do_not_enter_the_key(cache, extracted):
    images, labels = pictures(7, 0)
    cached_features({}, "w", ArraySplit(images, labels), **OPTIONS)
    count = len(extracted)
    cached_features({}, "w", ArraySplit(images, labels[::-1].copy()), **OPTIONS)
    assert len(extracted) == count


@pytest.mark.parametrize("damage", [lambda whole: whole[:-100], lambda whole: b"", lambda whole: b"x" * 500])
def test_a_damaged_file_is_computed_again(cache, extracted, damage):
    cached_features({}, "w", split(), **OPTIONS)
    (path,) = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    count = len(extracted)
    assert cached_features({}, "w", split(), **OPTIONS).shape == (21, 1, 1, 512)
    assert len(extracted) > count
    assert list(cache.iterdir()) == [path]


def test_every_batch_has_one_shape(cache, extracted):
    cached_features({}, "w", split(), **OPTIONS)
    assert {batch.shape for batch in extracted} == {(BATCH, 32, 32, 3)}


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError])
def test_what_was_begun_is_removed(cache, extracted, error):
    class Failing(ArraySplit):
        def images(self, indices, size):
            if indices[0] >= BATCH:
                raise error("stop")
            return super().images(indices, size)

    with pytest.raises(error):
        cached_features({}, "w", Failing(*pictures(7, 0)), **OPTIONS)
    assert not list(cache.iterdir())


def test_a_full_disk_is_refused_before_the_work(cache, extracted, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 1000))
    with pytest.raises(InputError, match="make room or set PCACAM_CACHE"):
        cached_features({}, "w", split(), **OPTIONS)
    assert not extracted


def test_a_cache_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch, extracted):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="cannot be written to"):
        cached_features({}, "w", split(), **OPTIONS)


def test_random_weights_tell_pictures_apart(small_params):
    """The other tests rest on this."""
    maps = np.asarray(vgg16.features(small_params, split(2).images(slice(None), 32)))
    assert np.std(maps, axis=0).max() > 0.01 * maps.max()
    other = vgg16.features(random_params(1), split(2).images(slice(None), 32))
    assert not np.allclose(maps, other)

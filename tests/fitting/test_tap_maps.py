"""Maps at the tap: the right rows, computed once, and a max-pool that equals the cached maps."""

import numpy as np
import pytest
from support.marks import more
from support.small_runs import pictures, small_config

from pcacam_jax.data import ArraySplit
from pcacam_jax.fitting import tap_maps as module
from pcacam_jax.fitting.features import cached_features
from pcacam_jax.fitting.tap_maps import TapMaps, stored
from pcacam_jax.nets import vgg16


def split():
    return ArraySplit(*pictures(7, 0))


@pytest.fixture
def extracted(monkeypatch):
    """Replace VGG16 by maps that hold the mean of their image; return the list of these means."""
    means = []

    def extract_all(params, images, *, tap, scaling, dtype):
        means.extend(np.asarray(images, np.float32).mean(axis=(1, 2, 3)).tolist())
        shape = (len(images), *vgg16.maps_shape(images.shape[1:3], tap))
        return np.broadcast_to(np.array(means[-len(images) :]).reshape(-1, 1, 1, 1), shape).astype(np.float32)

    monkeypatch.setattr(module, "extract_all", extract_all)
    return means


def tap_maps(**changes):
    return TapMaps({}, split(), small_config(**changes), np.zeros((21, 1, 1, 512), np.float32))


@pytest.mark.parametrize(
    "rows",
    [np.array([3, 20, 3, 0]), [5], slice(2, 9, 3), slice(None), 4, -1, np.arange(21) % 5 == 0, np.array([], int)],
)
def test_rows_are_chosen_as_in_an_array(extracted, rows):
    maps = tap_maps()
    expected = split().images(np.arange(21), 32).mean(axis=(1, 2, 3))[rows]
    chosen = maps[rows]
    assert chosen.shape == (*np.shape(expected), 2, 2, 512) == np.empty((21, 2, 2, 512))[rows].shape
    assert chosen.dtype == np.float32
    np.testing.assert_allclose(
        chosen, np.broadcast_to(np.reshape(expected, (*np.shape(expected), 1, 1, 1)), chosen.shape)
    )
    assert (len(maps), maps.shape) == (21, (21, 2, 2, 512))


def test_a_row_that_does_not_exist_raises(extracted):
    with pytest.raises(IndexError):
        tap_maps()[[21]]


def test_every_image_is_extracted_once(extracted):
    maps = tap_maps()
    first, again = maps[[2, 7]], maps[[7, 2, 9, 9]]
    assert len(extracted) == 3
    np.testing.assert_array_equal(again[:2], first[::-1])
    first[:] = 0  # a caller's changes stay his own
    assert maps[[2]].all()


def test_no_more_images_are_kept_than_fit(extracted, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 5 * 4 * 2 * 2 * 512)
    maps = tap_maps()
    assert maps[:].shape == maps[:].shape == (21, 2, 2, 512)
    assert len(maps.kept) == 5
    assert len(extracted) == 21 + 16


def test_the_cached_maps_are_used_if_they_are_those_of_the_tap(extracted):
    maps = tap_maps(tap="block5_pool")
    assert maps[[1, 5]].shape == (2, 1, 1, 512)
    assert maps.shape == (21, 1, 1, 512)
    assert not extracted


@pytest.mark.parametrize("storage", ["float32", more("float16")])
def test_the_max_pool_of_the_maps_equals_the_cached_maps(small_params, tmp_path, monkeypatch, storage):
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path))
    config = small_config(storage=storage)
    options = {"size": 32, "tap": "block5_pool", "scaling": "caffe", "dtype": "float32", "storage": storage}
    cached = cached_features(small_params, "w", split(), **options)
    maps = TapMaps(small_params, split(), config, cached)
    np.testing.assert_allclose(maps[:].max(axis=(1, 2)), np.array(cached, np.float32)[:, 0, 0], rtol=1e-6, atol=1e-6)


def test_values_beyond_half_precision_become_its_largest():
    maps = np.array([1.0, 1.00001, 65504.0, 1e6], np.float32)
    assert stored(maps, "float16").tolist() == [1.0, 1.0, 65504.0, 65504.0]
    np.testing.assert_array_equal(stored(maps, "float32"), maps)

import numpy as np
import pytest

from pcacam_jax.fitting import out_of_core
from pcacam_jax.fitting.out_of_core import Source, map_features, root_mean_square, take


@pytest.fixture
def maps():
    return np.random.default_rng(0).normal(size=(23, 4, 4, 3)).astype(np.float32)


@pytest.fixture(params=["float32", "float16"])
def mapped(request, maps, tmp_path):
    np.save(tmp_path / "maps.npy", maps.astype(request.param))
    return np.load(tmp_path / "maps.npy", mmap_mode="r")


@pytest.mark.parametrize("rows", [slice(3, 9), slice(None), np.array([4, 4, 0, 22])])
def test_rows_are_float32_arrays_in_memory(mapped, rows):
    for source in (mapped, np.array(mapped), mapped[2:], mapped[::2]):
        if not isinstance(rows, slice) and len(source) < 23:
            continue
        taken = take(source, rows)
        assert taken.dtype == np.float32
        assert not isinstance(taken, np.memmap)
        assert not np.shares_memory(taken, source)
        np.testing.assert_array_equal(taken, np.array(source)[rows].astype(np.float32))


def test_the_results_of_batches_are_concatenated(mapped):
    result = map_features(lambda batch: {"sum": batch.sum(axis=(1, 2, 3)), "first": batch[:, 0]}, mapped, size=5)
    whole = np.array(mapped, np.float32)
    np.testing.assert_allclose(result["sum"], whole.sum(axis=(1, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result["first"], whole[:, 0])
    assert type(result["sum"]) is np.ndarray
    assert result["sum"].flags.writeable


@pytest.mark.parametrize("rows_in_block", [1, 5, 100])
def test_the_root_mean_square(maps, monkeypatch, rows_in_block):
    monkeypatch.setattr(out_of_core, "BLOCK_BYTES", rows_in_block * 4 * 48)
    assert root_mean_square(maps) == pytest.approx(np.sqrt(np.mean(np.square(maps.astype(float)))))
    assert root_mean_square(np.zeros((2, 2, 2, 3), np.float32)) == 1


@pytest.mark.parametrize("resident", [False, True])
def test_every_batch_has_its_rows_labels_and_weights(maps, monkeypatch, resident):
    monkeypatch.setattr(out_of_core, "RESIDENT_BYTES", 2**20 if resident else 0)
    monkeypatch.setattr(out_of_core, "BLOCK_BYTES", 3000)
    random = np.random.default_rng(1)
    rows, weights = random.integers(0, 23, (7, 2, 4)), random.random((7, 4)).astype(np.float32)
    labels = random.integers(0, 9, 23)
    blocks = list(Source(maps, scale=2.0).blocks(rows, weights, labels))
    assert (len(blocks) == 1) == resident
    np.testing.assert_array_equal(
        np.concatenate([np.asarray(features)[positions] for features, positions, *_ in blocks]), maps[rows] / 2
    )
    np.testing.assert_array_equal(np.concatenate([targets for *_, targets, _ in blocks]), labels[rows])
    np.testing.assert_array_equal(np.concatenate([part for *_, part in blocks]), weights)
    assert len({features.shape for features, *_ in blocks[:-1]}) <= 1


def test_the_users_maps_are_not_changed(maps):
    before = maps.copy()
    source = Source(maps, scale=4.0)
    np.testing.assert_array_equal(source.rows(slice(2, 5)), before[2:5] / 4)
    np.testing.assert_array_equal(maps, before)

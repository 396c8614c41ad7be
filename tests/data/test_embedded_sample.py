import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import pcacam_jax.data
from pcacam_jax.data import EMBEDDED_SAMPLE, read_dataset
from pcacam_jax.data.idx import IMAGES, LABELS, find_idx, read_idx

PACKAGE = Path(pcacam_jax.data.__file__).parent
SAMPLE = PACKAGE / "fashion_mnist_sample.npz"
REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "experiments" / "draw_fashion_mnist_sample.py"
ORIGINALS = REPOSITORY.parent / "shared" / "data" / "full" / "fashion_mnist"

needs_originals = pytest.mark.skipif(
    not ORIGINALS.is_dir(), reason="the original idx files of Fashion-MNIST are not beside the repository"
)


@pytest.fixture(scope="module")
def sample():
    with np.load(SAMPLE) as archive:
        return dict(archive)


def test_it_is_read_by_name():
    dataset = read_dataset("fashion_mnist_sample")
    assert dataset.name == EMBEDDED_SAMPLE == "fashion_mnist_sample"
    assert np.bincount(dataset.train.labels).tolist() == [100] * 10
    assert np.bincount(dataset.test.labels).tolist() == [30] * 10
    assert ", ".join(dataset.class_names) == (
        "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
    )
    assert dataset.train.images([0], 96).shape == (1, 96, 96, 3)


def test_it_is_small_and_its_licence_is_included():
    assert SAMPLE.stat().st_size < 1_000_000
    notice = (PACKAGE / "NOTICE").read_text("utf-8")
    for words in ("MIT License", "2017 Zalando SE", "github.com/zalandoresearch/fashion-mnist", "arXiv:1708.07747"):
        assert words in notice


def test_no_image_occurs_twice(sample):
    images = np.concatenate([sample["train_images"], sample["test_images"]])
    assert len(np.unique(images.reshape(1300, -1), axis=0)) == 1300


@needs_originals
@pytest.mark.parametrize("split", ["train", "test"])
def test_it_equals_the_original(sample, split):
    rows = sample[f"{split}_rows"]
    images = read_idx(find_idx(ORIGINALS, IMAGES[split]), 3)[rows]
    np.testing.assert_array_equal(sample[f"{split}_images"], images)
    np.testing.assert_array_equal(sample[f"{split}_labels"], read_idx(find_idx(ORIGINALS, LABELS[split]), 1)[rows])


@needs_originals
def test_the_script_reproduces_it(sample, tmp_path, monkeypatch):
    paths = [tmp_path / "first.npz", tmp_path / "second.npz"]
    for path in paths:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--idx", str(ORIGINALS), "--out", str(path)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    # Another version of zlib may compress differently, so the arrays are compared, not the bytes
    with np.load(paths[0]) as drawn:
        assert set(drawn.files) == set(sample)
        for name, array in sample.items():
            np.testing.assert_array_equal(drawn[name], array, strict=True)

import gzip
import struct

import numpy as np
import pytest

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import read_dataset
from pcacam_jax.data.idx import IMAGES, LABELS

PIXELS = np.random.default_rng(5).integers(0, 256, (60, 28, 28), np.uint8)
CODES = np.repeat([0, 1, 2], [10, 20, 30])[np.random.default_rng(6).permutation(60)]


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder, zipped=True):
    for split, rows in (("train", slice(40)), ("test", slice(40, 60))):
        for names, array in ((IMAGES, PIXELS), (LABELS, CODES.astype(np.uint8))):
            content = idx_bytes(array[rows])
            path = folder / (names[split] + ".gz" * zipped)
            path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


def rejects(sentence, source, **options):
    with pytest.raises(InputError, match=sentence):
        read_dataset(source, **options)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("file", ["", LABELS["test"]])
def test_idx_files(tmp_path, zipped, file):
    write_idx(tmp_path, zipped)
    dataset = read_dataset(tmp_path / (file + ".gz" * (zipped and bool(file))))
    assert dataset.name == tmp_path.name
    np.testing.assert_array_equal(dataset.train.pixels, PIXELS[:40])
    np.testing.assert_array_equal(dataset.test.pixels, PIXELS[40:])
    np.testing.assert_array_equal(dataset.test.labels, CODES[40:])
    assert read_dataset(tmp_path, class_names=["a", "b", "c"]).class_names == ("a", "b", "c")


def test_a_decompressed_idx_file_with_the_suffix_gz_is_read(tmp_path):
    write_idx(tmp_path)
    path = tmp_path / f"{IMAGES['train']}.gz"
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert len(read_dataset(tmp_path).train) == 40


def write_with(folder, name, content):
    write_idx(folder)
    (folder / f"{name}.gz").write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (IMAGES["train"], idx_bytes(CODES[:40].astype(np.uint8)), "begin with 00000803 .* begins with 00000801"),
        (LABELS["train"], idx_bytes(PIXELS), "begin with 00000801 .* begins with 00000803"),
        (LABELS["test"], b"", "begins with nothing"),
        (LABELS["test"], b"\0\0\x0d\x01" + bytes(84), "begins with 00000d01"),
        (IMAGES["train"], idx_bytes(PIXELS)[:-1], "must hold 47056 bytes .* but it holds 47055"),
        (IMAGES["train"], idx_bytes(PIXELS) + b"\0", "must hold 47056 bytes .* but it holds 47057"),
        (IMAGES["train"], idx_bytes(PIXELS)[:10], "but it holds 10"),
        (IMAGES["train"], gzip.compress(idx_bytes(PIXELS))[:-100], "cannot be read"),
        (IMAGES["train"], b"\x1f\x8b" + bytes(100), "cannot be read"),
        (IMAGES["train"], idx_bytes(PIXELS[:39]), "39 images and 40 labels"),
    ],
)
def test_a_wrong_idx_file_is_rejected(tmp_path, name, content, sentence):
    rejects(f"{name}.*{sentence}", write_with(tmp_path, name, content))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_idx_file_is_rejected(tmp_path, split):
    write_idx(tmp_path)
    (tmp_path / f"{IMAGES[split]}.gz").unlink()
    rejects(rf"must hold {IMAGES[split]} or {IMAGES[split]}\.gz, but has neither", tmp_path)

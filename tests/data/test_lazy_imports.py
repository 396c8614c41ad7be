"""Only the library of the chosen source is imported, and the memory for images does not grow with their number."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from pcacam_jax.data import ArraySplit, FolderSplit, RecordSplit

HEAVY = ("tensorflow", "tensorflow_datasets", "array_record", "medmnist", "torch", "matplotlib", "sklearn", "flax")


STEPS = """
import sys

def print_imported():
    print(*[name for name in {heavy} if name in sys.modules])

import pcacam_jax.data
print_imported()
pcacam_jax.data.read_paper_set("mnist", {folder!r}).train.images([0], 32)
print_imported()
try:
    pcacam_jax.data.read_dataset("cifar10", data_dir={folder!r})
except pcacam_jax.data.sources.InputError:
    print_imported()
"""


def test_only_the_library_of_the_chosen_source_is_imported(tmp_path):
    (tmp_path / "mnist").mkdir()
    for split in ("train", "test"):
        np.savez(tmp_path / "mnist" / f"{split}.npz", images=np.zeros((10, 4, 4), np.uint8), labels=np.arange(10))
    steps = STEPS.format(heavy=HEAVY, folder=str(tmp_path))
    result = subprocess.run([sys.executable, "-c", steps], capture_output=True, text=True, check=True)
    at_import, after_files, after_tfds = (set(line.split()) for line in result.stdout.splitlines())
    assert not at_import
    assert not after_files
    assert after_tfds - {"array_record"} == {"tensorflow_datasets"}


def folder_split(folder, count):
    path = folder / "image.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    return FolderSplit(folder, (path,) * count, np.zeros(count, np.int64))


def record_split(folder, count):
    content = (folder_split(folder, 1).paths[0]).read_bytes()
    digests = np.zeros((count, 32), np.uint8)
    rows = np.arange(count)
    return RecordSplit([{"image": content}] * count, "image", rows, np.zeros(count, np.int64), digests, "records")


def array_split(folder, count):
    return ArraySplit(np.zeros((count, 8, 8), np.uint8), np.zeros(count, np.int64))


@pytest.mark.parametrize("make", [folder_split, record_split, array_split])
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, make):
    size, batch = 96, 50

    def peak(split):
        tracemalloc.start()
        try:
            for start in range(0, len(split), batch):
                split.images(slice(start, start + batch), size)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = (peak(make(tmp_path, count)) for count in (100, 800))
    # All images would be 22 MB; two batches may be in memory at the same time
    assert max(few, many) < 3 * batch * size * size * 3
    assert many < few + 200_000

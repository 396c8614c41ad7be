"""Labelled images from arrays, npz and idx files, folders and an embedded sample, all as one ``Dataset``."""

from pcacam_jax.data.dataset import SMALLEST_SIZE, ArraySplit, Dataset, FolderSplit, Split, load_image
from pcacam_jax.data.sources import EMBEDDED_SAMPLE, read_dataset

__all__ = [
    "EMBEDDED_SAMPLE",
    "SMALLEST_SIZE",
    "ArraySplit",
    "Dataset",
    "FolderSplit",
    "Split",
    "load_image",
    "read_dataset",
]

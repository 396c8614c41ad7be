"""Labelled images from arrays, npz and idx files, class folders, TFDS and MedMNIST, all as one ``Dataset``."""

from pcacam_jax.core.checks import SMALLEST_SIZE
from pcacam_jax.data.dataset import Dataset
from pcacam_jax.data.images import load_image, read_picture
from pcacam_jax.data.paper_sets import read_paper_set, sets_in
from pcacam_jax.data.paper_table import PAPER_SETS, PaperSet
from pcacam_jax.data.sources import EMBEDDED_SAMPLE, read_dataset
from pcacam_jax.data.splits import ArraySplit, FolderSplit, Split
from pcacam_jax.data.tfds_source import RecordSplit

__all__ = [
    "EMBEDDED_SAMPLE",
    "PAPER_SETS",
    "SMALLEST_SIZE",
    "ArraySplit",
    "Dataset",
    "FolderSplit",
    "PaperSet",
    "RecordSplit",
    "Split",
    "load_image",
    "read_dataset",
    "read_paper_set",
    "read_picture",
    "sets_in",
]

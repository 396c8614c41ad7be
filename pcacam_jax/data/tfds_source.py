"""Image classification datasets of TensorFlow Datasets (TFDS), read without TensorFlow.

TFDS needs TensorFlow to prepare a dataset (to unpack, decode and encode it), but not to read one that was prepared in
the array_record format. This module therefore only reads. It never downloads; if a dataset is not prepared, the error
message gives the command that prepares it.
"""

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import SMALLEST_SIZE, InputError
from pcacam_jax.core.paths import user_path
from pcacam_jax.data.digests import digest_image
from pcacam_jax.data.images import Picture, check_size, decode_image, resized
from pcacam_jax.data.splits import Indices, check_every, check_labels
from pcacam_jax.data.stored_arrays import DatasetUnavailableError

TFDS_INFO = "dataset_info.json"
"""A file in the folder of every prepared dataset."""

_BATCH = 256


@dataclass(frozen=True, eq=False)
class RecordSplit:
    """Encoded images in records of TFDS, read and decoded on every access.

    Attributes:
        records: random access to examples; each example holds the bytes of an image file under ``key``.
        key: the name of the image in an example.
        rows: the indices of this split's images among the records, ``(N,)`` int64.
        labels: the class of every image, ``(N,)`` int64 in 0..C-1.
        digests: the digest of every image's bytes, ``(N, 32)`` uint8.
        where: the name of this split in error messages.
        shortest_side: a lower bound in pixels of the images' sides if the dataset has a fixed image shape, else 32.
    """

    records: Sequence[Mapping[str, Any]]
    key: str
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    digests: NDArray[np.uint8]
    where: str
    shortest_side: int = SMALLEST_SIZE

    __repr__ = brief_repr

    def __post_init__(self):
        check_labels(self.where, self.labels, len(self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def entries(self) -> list[int]:
        """The indices of the images among the records."""
        return self.rows.tolist()

    def images(self, indices: Indices, size: int) -> NDArray[np.uint8]:
        """Return the selected images, ``(n, size, size, 3)`` RGB; see ``Split.images``."""
        check_size(size)
        rows = self.rows[indices]
        batch = np.empty((len(rows), size, size, 3), np.uint8)
        for start in range(0, len(rows), _BATCH):
            batch_rows = rows[start : start + _BATCH].tolist()
            examples = zip(batch_rows, _fetch(self.records, batch_rows), strict=True)
            for index, (row, example) in enumerate(examples, start):
                batch[index] = resized(self._decode(row, example[self.key]).image, size)
        return batch

    def fingerprint(self) -> str:
        """Return a digest of the images' encoded bytes and their order."""
        return hashlib.sha256(self.digests.tobytes()).hexdigest()

    def take(self, indices: Indices) -> "RecordSplit":
        """Return a split of the selected images, which shares the records."""
        return replace(self, rows=self.rows[indices], labels=self.labels[indices], digests=self.digests[indices])

    def check(self) -> None:
        """Decode every image once; see ``Split.check``."""
        check_every(self._load, self.entries, self.where)

    def _load(self, index: int) -> Picture:
        row = int(self.rows[index])
        return self._decode(row, _fetch(self.records, [row])[0][self.key])

    def _decode(self, row: int, content: bytes) -> Picture:
        # The smallest side of 32 pixels is for user files; a published dataset may have smaller images, as MNIST has
        return decode_image(io.BytesIO(content), f"{row} of {self.where}", smallest=1)


def read_tfds(
    name: str, splits: tuple[str, ...] | None = None, data_dir: str | Path | None = None
) -> tuple[list[RecordSplit], tuple[str, ...]]:
    """Return the splits of a prepared TFDS dataset and its class names.

    Args:
        name: the name in TFDS's notation: NAME, NAME/CONFIG or NAME:VERSION.
        splits: the splits in TFDS's notation, such as ``"train[:80%]"``. By default train and test, or train and
            validation if there is no test, or train alone.
        data_dir: the folder of prepared datasets, by default ``TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    Returns:
        One ``RecordSplit`` per entry of ``splits``, and the C class names in label order.

    Raises:
        DatasetUnavailableError: if the dataset is not prepared; the message gives the command that prepares it.
        InputError: if TFDS has no such dataset, its examples are not images with one class each, it was prepared in a
            format that only TensorFlow reads, or its files are damaged.
    """
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    data_dir = user_path(data_dir) if data_dir else None
    builder = _builder(name, data_dir)
    if not Path(builder.data_dir, TFDS_INFO).is_file():
        root = data_dir or builder.data_dir_root
        raise DatasetUnavailableError(
            f"the TFDS dataset {name} must be prepared in {builder.data_dir}, but it is not; run `tfds build {name} "
            f"--file_format=array_record --data_dir={root}` on a computer with a network connection and TensorFlow "
            "(reading needs neither), and copy the result to this folder."
        )
    image, label = _keys(name, builder.info)
    feature = builder.info.features[image]
    sides = [side or SMALLEST_SIZE for side in feature.shape[:2]]
    split_names = splits or _default_splits(name, builder.info.splits)
    record_splits = [_open(builder, split, image, label, min(sides)) for split in split_names]
    return record_splits, tuple(builder.info.features[label].names)


def _builder(name: str, data_dir: Path | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=None if data_dir is None else str(data_dir))
    # TFDS raises many exceptions here: ValueError, AssertionError, ImportError, those of protobuf
    except Exception as error:
        raise InputError(
            f"TFDS cannot open the dataset {name!r} ({_first_line(error)}); check its name and its folder."
        ) from error


def _keys(name: str, info: Any) -> tuple[str, str]:
    """Return the names of the image and of the class label in an example."""
    import tensorflow_datasets as tfds

    candidates = []
    for kind in (tfds.features.Image, tfds.features.ClassLabel):
        keys = [key for key, feature in info.features.items() if isinstance(feature, kind)]
        supervised = [key for key in keys if key in (info.supervised_keys or ())]
        candidates.append(supervised if len(supervised) == 1 else keys)
    images, labels = candidates
    if len(images) != 1 or len(labels) != 1 or info.features[images[0]].np_dtype != np.uint8:
        features = sorted(f"{key} ({type(feature).__name__})" for key, feature in info.features.items())
        raise InputError(
            f"the TFDS dataset {name} must have one 8-bit image and one class in each example, but an example holds "
            f"{', '.join(features)}; choose an image classification dataset."
        )
    return images[0], labels[0]


def _default_splits(name: str, available: Mapping[str, Any]) -> tuple[str, ...]:
    if "train" not in available:
        raise InputError(
            f"the TFDS dataset {name} must have a split train, but it has {', '.join(available) or 'none'}; choose "
            "another dataset."
        )
    return ("train", *[other for other in ("test", "validation") if other in available][:1])


def _open(builder: Any, split: str, image: str, label: str, side: int) -> RecordSplit:
    """Return one split; this reads all records once for their labels and digests, but decodes no image."""
    import tensorflow_datasets as tfds

    where = f"{split} of {builder.data_dir}"
    try:
        records = builder.as_data_source(split, decoders={image: tfds.decode.SkipDecoding()})
        count = len(records)
        labels, digests = np.empty(count, np.int64), np.empty((count, 32), np.uint8)
        for start in range(0, count, _BATCH):
            rows = list(range(start, min(start + _BATCH, count)))
            for row, example in zip(rows, _fetch(records, rows), strict=True):
                labels[row] = example[label]
                digests[row] = np.frombuffer(digest_image(io.BytesIO(example[image])), np.uint8)
    except NotImplementedError as error:
        raise InputError(
            f"{builder.data_dir} must be prepared in the format array_record, but it is in "
            f"{builder.info.file_format.value}, which only TensorFlow reads; prepare it again with `tfds build "
            "--file_format=array_record`."
        ) from error
    except Exception as error:
        raise InputError(
            f"the records of {where} cannot be read ({_first_line(error)}); remove the folder, then prepare or copy it "
            "again."
        ) from error
    return RecordSplit(records, image, np.arange(count), labels, digests, where, side)


def _fetch(records: Any, rows: list[int]) -> Sequence[Mapping[str, Any]]:
    return records.__getitems__(rows) if hasattr(records, "__getitems__") else [records[row] for row in rows]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

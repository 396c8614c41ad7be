"""Images that lie in the training split and in the test split, which make test scores too high."""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from pcacam_jax.core.paths import printable
from pcacam_jax.data.dataset import Dataset


def shared_images(dataset: Dataset, maps: Mapping[str, np.ndarray] | None = None) -> list[tuple[int, int]]:
    """Return the training images that lie in the test split, too.

    Two images are the same if their files or their arrays hold the same bytes. Files that hold the same pixels in
    different formats are recognised by their feature maps, if these are given.

    Args:
        dataset: the dataset.
        maps: feature maps of ``"train"`` and ``"test"``, ``(N, h, w, K)``, in the order of the splits.

    Returns:
        For each of these training images, in order, its row in the training split and the row of the first such image
        in the test split.

    Raises:
        InputError: if an image file cannot be read.
    """
    pairs = _matches(_rows(dataset.train.digests), _rows(dataset.test.digests))
    if maps is not None:
        pairs = _matches(_map_keys(maps["train"]), _map_keys(maps["test"])) | pairs
    return sorted(pairs.items())


def shared_images_warning(dataset: Dataset, maps: Mapping[str, np.ndarray] | None = None) -> str | None:
    """Return a sentence that names up to three images of ``shared_images``, or None if there are none."""
    pairs = shared_images(dataset, maps)
    if not pairs:
        return None
    division = dataset.division or {"train": dataset.train.entries, "test": dataset.test.entries}
    names = [f"{_name(division['train'][train])} (test: {_name(division['test'][test])})" for train, test in pairs[:3]]
    advice = "remove the copies" if dataset.division else "remove them from one split"
    return (
        f"{len(pairs)} of the {len(dataset.train)} training images of {dataset.name} are the same images as test "
        f"images, so that they lie in both splits and the test scores are too high: {', '.join(names)}"
        f"{', ...' if len(pairs) > 3 else ''}; {advice}."
    )


def _matches(train: Iterable[bytes], test: Iterable[bytes]) -> dict[int, int]:
    """Return for each training row whose key occurs in the test split the first test row with this key."""
    rows: dict[bytes, int] = {}
    for row, key in enumerate(test):
        if key:
            rows.setdefault(key, row)
    return {row: rows[key] for row, key in enumerate(train) if key in rows}


def _rows(digests: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in digests]


def _map_keys(maps: np.ndarray) -> Iterable[bytes]:
    """Yield a digest of each image's maps; maps that vanish identify no image and get no key."""
    for image in maps:
        yield hashlib.sha256(np.ascontiguousarray(image).data).digest() if image.any() else b""


def _name(entry: str | int) -> str:
    return f"image {entry}" if isinstance(entry, int) else printable(entry)

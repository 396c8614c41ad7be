"""Question: which images are in the sample of Fashion-MNIST that the package embeds?

Command: python experiments/draw_fashion_mnist_sample.py --idx FOLDER --out pcacam_jax/data/fashion_mnist_sample.npz
Answer:  100 training and 30 test images of each class, drawn at random with a fixed seed from the original training and
         test images. The file also stores their row numbers in the original files.

FOLDER holds the four original idx files (https://github.com/zalandoresearch/fashion-mnist). The same seed and zlib give
the same bytes; another zlib may compress the same arrays differently.
"""

import argparse
from pathlib import Path

import numpy as np

from pcacam_jax.core.files import atomic_write
from pcacam_jax.data.idx import IMAGES, LABELS, find_idx, read_idx

SEED = 2017
PER_CLASS = {"train": 100, "test": 30}
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def draw(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the sample; the images of each part keep the order of the original."""
    generator = np.random.default_rng(SEED)
    arrays = {"class_names": np.array(CLASS_NAMES)}
    for part, count in PER_CLASS.items():
        images, labels = read_idx(find_idx(folder, IMAGES[part]), 3), read_idx(find_idx(folder, LABELS[part]), 1)
        drawn = [
            generator.choice(np.flatnonzero(labels == label), count, replace=False) for label in range(len(CLASS_NAMES))
        ]
        rows = np.sort(np.concatenate(drawn))
        arrays |= {
            f"{part}_images": images[rows],
            f"{part}_labels": labels[rows].astype(np.int64),
            f"{part}_rows": rows.astype(np.int64),
        }
    return arrays


def main() -> None:
    """Draw the sample and write it."""
    parser = argparse.ArgumentParser(description="Draw the sample of Fashion-MNIST that the package embeds.")
    parser.add_argument("--idx", type=Path, required=True, metavar="FOLDER", help="the four original idx files")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the npz file to write")
    options = parser.parse_args()
    with atomic_write(options.out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **draw(options.idx))


if __name__ == "__main__":
    main()

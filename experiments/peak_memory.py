"""Question: how much memory do feature extraction and training need for 60,000 images?

Command: python experiments/peak_memory.py
Goal:    at most 4 GiB above the memory of the process after its imports, whatever the number of images.
Answer:  0.8 GiB for a batch of VGG16 at 224 px, 0.14 GiB for 60,000 images through the cache, 2.5 GiB for training.

There are three steps, each in a process of its own. "network" runs VGG16 with random weights at 224 px on 128 images,
which shows the memory of a batch. "extraction" sends 60,000 images through the feature cache; since VGG16 would take
hours on a CPU, a cheap function replaces it and computes maps of the same shape, 7 x 7 x 512, stored in float16 (3 GB).
"training" uses such maps, 60,000 x 25,088 features: one epoch of five heads, then PCA, both SVMs and all scores.
"""

import functools
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.progress import Progress
from pcacam_jax.data import ArraySplit, Dataset
from pcacam_jax.fitting import features
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.estimators import fit_estimators
from pcacam_jax.fitting.features import cached_features
from pcacam_jax.fitting.out_of_core import root_mean_square
from pcacam_jax.fitting.scores import head_outputs, score
from pcacam_jax.fitting.training import Member, train_heads
from pcacam_jax.nets import vgg16

IMAGES = 60_000
CLASSES = 10
OPTIONS: dict[str, Any] = {
    "size": 224,
    "tap": "block5_pool",
    "scaling": "caffe",
    "dtype": "float32",
    "storage": "float16",
}


def main() -> None:
    if sys.argv[1:]:
        step, folder = sys.argv[1:]
        return measure({function.__name__: function for function in STEPS}[step], Path(folder))
    with tempfile.TemporaryDirectory(dir=".", prefix=".peak_memory_") as folder:
        for step in (function.__name__ for function in STEPS):
            subprocess.run(
                [sys.executable, __file__, step, folder], check=True, env={**os.environ, "PCACAM_CACHE": folder}
            )
    return None


def measure(step, folder: Path) -> None:
    before, start = peak(), time.perf_counter()
    step(folder)
    print(
        f"{step.__name__}: {peak() - before:.2f} GiB above the {before:.2f} GiB after the imports; "
        f"{time.perf_counter() - start:.0f} s"
    )


def peak() -> float:
    """Return the peak resident memory of the process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def random_labels(count: int = IMAGES) -> np.ndarray:
    return np.random.default_rng(0).integers(0, CLASSES, count)


def network(folder: Path) -> None:
    random = np.random.default_rng(0)
    params = {
        layer: {part: jnp.asarray(random.normal(0, 0.03, shape), jnp.float32) for part, shape in shapes.items()}
        for layer, shapes in vgg16.param_shapes().items()
    }
    cached_features(params, "random", random_images(128), **OPTIONS)


def extraction(folder: Path) -> None:
    features.extract = stand_in
    with Progress().bar("features", IMAGES) as advance:
        cached_features({}, "stand-in", random_images(IMAGES), **OPTIONS, advance=advance)


@functools.partial(jax.jit, static_argnames=("tap", "scaling", "dtype"))
def stand_in(params, images, **options):
    """Return the means over cells of 32 x 32 pixels, repeated to the shape of VGG16's maps."""
    cells = jnp.asarray(images, jnp.float32).reshape(-1, 7, 32, 7, 32, 3).mean(axis=(2, 4))
    return jnp.tile(cells, (1, 1, 1, 171))[..., :512]


def random_images(count: int) -> ArraySplit:
    return ArraySplit(np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8), random_labels(count))


def training(folder: Path) -> None:
    labels = random_labels()
    maps = random_maps(folder / "maps.npy", labels)
    config = FitConfig(epochs=1)
    with Progress().bar("training", config.epochs) as advance:
        heads = train_heads(
            maps,
            labels,
            [Member(seed, 0.01) for seed in range(5)],
            sizes=(*config.hidden, CLASSES),
            activation=config.activation,
            feature_scale=root_mean_square(maps),
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation_fraction=config.validation_fraction,
            checkpoint=folder / "training.safetensors",
            advance=advance,
        )
    images = ArraySplit(np.zeros((IMAGES, 1, 1), np.uint8), labels)
    names = tuple(map(str, range(CLASSES)))
    dataset = Dataset("random", names, images, images)
    estimators = fit_estimators(heads[0], maps, dataset, config)
    score(estimators, head_outputs(estimators.head, {"train": maps}), dataset)


def random_maps(path: Path, labels: np.ndarray) -> np.ndarray:
    """Write one pattern per class plus noise, a few images at a time to save memory."""
    random = np.random.default_rng(1)
    patterns = random.random((CLASSES, 7, 7, 512), np.float32)
    with path.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (IMAGES, 7, 7, 512)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in np.array_split(labels, IMAGES // 64):
            noise = random.random((len(block), 7, 7, 512), np.float32)
            file.write((patterns[block] + noise).astype(np.float16).tobytes())
    return np.load(path, mmap_mode="r")


STEPS = (network, extraction, training)

if __name__ == "__main__":
    jax.devices()
    main()

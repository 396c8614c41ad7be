"""Study: how do the scores of Table 3 grow with the number of training images?

Command: python experiments/training_size.py --data-root DIR
Paper:   trains on 60,000 (Fashion-MNIST), 11,959 (Blood-MNIST) and 50,000 (CIFAR-10) images.
Ours:    see "The paper, reproduced" in README.md.

The features of all training images are extracted once; heads, PCA and SVMs are then fitted on the first few of every
class, and scored on the same test images. Settings are those of ``pcacam reproduce``, with fewer epochs; with fewer
images there are as many more epochs, so that all heads take the same number of steps.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro

from pcacam_jax.core.progress import Progress
from pcacam_jax.data import ArraySplit, Dataset, read_paper_set
from pcacam_jax.fitting.estimators import fit_estimators
from pcacam_jax.fitting.fit import features_of, train_on
from pcacam_jax.fitting.scores import score
from pcacam_jax.reproduce.paper import CLASSIFIERS
from pcacam_jax.reproduce.settings import settings_of


def main(
    data_root: Path,
    sets: tuple[str, ...] = ("fashion_mnist", "blood_mnist", "cifar10"),
    per_class: tuple[int, ...] = (75, 150, 300),
    seeds: tuple[int, ...] = (0, 1),
    epochs: int = 100,
) -> None:
    """Print a row of test macro F1 for every set and number of training images of a class.

    Args:
        data_root: Folder with a folder for each set.
        sets: Sets whose images are held in arrays.
        per_class: Training images of every class.
        seeds: Seeds of the fits; the mean over them is printed.
        epochs: Epochs of training with the most images.
    """
    print("set, images of a class:", ", ".join(CLASSIFIERS.values()))
    for name in sets:
        dataset = read_paper_set(name, data_root)
        digest, maps, _ = features_of(dataset, settings_of("sample", name), Progress())
        for count in per_class:
            config = dataclasses.replace(settings_of("sample", name), epochs=epochs * max(per_class) // count)
            scores = of_part(dataset, first_of_each(dataset.train.labels, count), config, digest, maps, seeds)
            print(f"{name}, {count}:", ", ".join(f"{own:.3f}" for own in scores), flush=True)


def of_part(dataset, rows, config, digest, maps, seeds) -> list[float]:
    """Return mean test F1 of every classifier, fitted on some rows of the training images."""
    train = dataset.train.take(rows)
    part = Dataset(dataset.name, dataset.class_names, ArraySplit(train.pixels, train.labels), dataset.test)
    own = {"train": np.asarray(maps["train"][rows]), "test": maps["test"]}
    configs = [dataclasses.replace(config, seed=seed) for seed in seeds]
    heads = train_on(own["train"], part, configs, digest, Progress())
    found = [
        score(fit_estimators(head, own["train"], part, each), own, part)
        for head, each in zip(heads, configs, strict=True)
    ]
    return [float(np.mean([each[name]["test_f1"] for each in found])) for name in CLASSIFIERS]


def first_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of the first ``count`` images of every class."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


if __name__ == "__main__":
    tyro.cli(main)

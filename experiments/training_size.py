"""Question: how do the scores of Table 3 depend on the number of training images?

Command: python experiments/training_size.py --data-root DIR
Paper:   trains on 60,000 (Fashion-MNIST), 11,959 (Blood-MNIST) and 50,000 (CIFAR-10) images.
Answer:  they still rise at 300 images per class. With 75, 150 and 300 training images per class, the test macro F1 of
         the CNN is .66, .74 and .78 on Blood-MNIST, .80, .85 and .86 on Fashion-MNIST, and .66, .70 and .73 on CIFAR-10
         (docs/reproduction/results.md).

The features of all training images are extracted once. Heads, PCA and SVMs are then fitted to the first images of every
class and scored on the same test images. Settings are those of ``pcacam reproduce``, with fewer epochs. Fits to fewer
images have more epochs in proportion, so that all heads take the same number of steps.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro

from pcacam_jax.core.progress import Progress
from pcacam_jax.data import ArraySplit, Dataset, read_paper_set
from pcacam_jax.fitting.estimators import fit_estimators
from pcacam_jax.fitting.fit import features_of, train_on
from pcacam_jax.fitting.scores import head_outputs, score
from pcacam_jax.reports.class_table import CLASSIFIERS
from pcacam_jax.reproduce.settings import settings_of


def main(
    data_root: Path,
    sets: tuple[str, ...] = ("fashion_mnist", "blood_mnist", "cifar10"),
    per_class: tuple[int, ...] = (75, 150, 300),
    seeds: tuple[int, ...] = (0, 1),
    epochs: int = 100,
) -> None:
    """Print the test macro F1 for every dataset and number of training images per class.

    Args:
        data_root: Folder with a folder for each dataset.
        sets: Datasets; their images must be stored as arrays.
        per_class: Numbers of training images per class.
        seeds: Seeds of the fits; the mean over them is printed.
        epochs: Epochs of the training with the most images.
    """
    print("dataset, images per class:", ", ".join(CLASSIFIERS.values()))
    for name in sets:
        dataset = read_paper_set(name, data_root)
        digest, maps, *_ = features_of(dataset, settings_of("sample", name), Progress())
        for count in per_class:
            config = dataclasses.replace(settings_of("sample", name), epochs=epochs * max(per_class) // count)
            scores = scores_of_part(dataset, first_of_each(dataset.train.labels, count), config, digest, maps, seeds)
            print(f"{name}, {count}:", ", ".join(f"{value:.3f}" for value in scores), flush=True)


def scores_of_part(dataset, rows, config, digest, maps, seeds) -> list[float]:
    """Return the mean test F1 of every classifier, fitted to some rows of the training images."""
    train = dataset.train.take(rows)
    part = Dataset(dataset.name, dataset.class_names, ArraySplit(train.pixels, train.labels), dataset.test)
    part_maps = {"train": np.asarray(maps["train"][rows]), "test": maps["test"]}
    configs = [dataclasses.replace(config, seed=seed) for seed in seeds]
    heads = train_on(part_maps["train"], part, configs, digest, Progress())
    results = []
    for head, each in zip(heads, configs, strict=True):
        estimators = fit_estimators(head, part_maps["train"], part, each)
        results.append(score(estimators, head_outputs(estimators.head, part_maps), part))
    return [float(np.mean([result[name]["test_f1"] for result in results])) for name in CLASSIFIERS]


def first_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of the first ``count`` images of every class."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


if __name__ == "__main__":
    tyro.cli(main)

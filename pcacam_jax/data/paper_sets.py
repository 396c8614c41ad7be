"""The paper's six datasets: their classes, sizes and where they come from, and how their files are read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcacam_jax.checks import InputError, check_choice
from pcacam_jax.data.dataset import Dataset
from pcacam_jax.data.folders import class_folders, read_folders
from pcacam_jax.data.medmnist_source import find_medmnist
from pcacam_jax.data.parts import (
    PARTS,
    NotThereError,
    Part,
    is_divided_folder,
    is_idx,
    is_npz_pair,
    read_idx_files,
    read_npz_file,
    read_npz_pair,
    require,
    stored_labels,
)
from pcacam_jax.data.splits import ArraySplit
from pcacam_jax.data.tfds_source import TFDS_INFO, read_tfds


@dataclass(frozen=True)
class PaperSet:
    """One of the paper's datasets.

    Attributes:
        name: what it is asked for by, and the folder that its files lie in.
        title: what the paper calls it.
        class_names: the C names of the paper's appendix, in label order.
        train: the number of training images in the paper's Table 3.
        test: the number of its test images.
        source: the door that it comes by: ``"tfds:NAME"``, ``"medmnist:NAME"`` or ``"folders"``.
        how: how to get its files into ROOT, the folder of datasets; one clause.
        splits: the names of train and test in TFDS.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    train: int
    test: int
    source: str
    how: str
    splits: tuple[str, str] = ("train", "test")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_TABLE = (
    PaperSet(
        name="mnist",
        title="MNIST",
        class_names=tuple("0123456789"),
        train=60_000,
        test=10_000,
        source="tfds:mnist",
        how="put MNIST's four idx .gz files into ROOT/mnist",
    ),
    PaperSet(
        name="fashion_mnist",
        title="Fashion-MNIST",
        class_names=_names("T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"),
        train=60_000,
        test=10_000,
        source="tfds:fashion_mnist",
        how="put Fashion-MNIST's four idx .gz files, which Debian's package dataset-fashion-mnist has, into "
        "ROOT/fashion_mnist",
    ),
    PaperSet(
        name="blood_mnist",
        title="Blood-MNIST",
        class_names=_names(
            "basophil, eosinophil, erythroblast, immature granulocytes, lymphocyte, monocyte, neutrophil, platelet"
        ),
        train=11_959,
        test=3_421,
        source="medmnist:bloodmnist",
        how="put bloodmnist.npz, which the MedMNIST project publishes, into ROOT/blood_mnist",
    ),
    PaperSet(
        name="cifar10",
        title="CIFAR-10",
        class_names=_names("airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"),
        train=50_000,
        test=10_000,
        source="tfds:cifar10",
        how="put train.npz and test.npz with the arrays images and labels into ROOT/cifar10",
    ),
    PaperSet(
        name="chest_xray",
        title="Chest X-ray",
        class_names=_names("COVID-19, normal, pneumonia"),
        train=5_144,
        test=1_288,
        source="folders",
        how="get the public Kaggle collection of 6,432 chest X-rays (COVID-19, normal, pneumonia), which is based on "
        "the images of Cohen et al., and put its folders train and test, each with COVID19, NORMAL and PNEUMONIA, into "
        "ROOT/chest_xray",
    ),
    # TFDS has one part of 23,262 images: of 25,000, the 1,738 that are no JFIF files are left out. The paper's 18,610
    # and 4,652 are its first 80 % and last 20 % as TFDS rounds them; a division class by class can miss them by one.
    PaperSet(
        name="dog_cat",
        title="Dog vs. Cat",
        class_names=("cat", "dog"),
        train=18_610,
        test=4_652,
        source="tfds:cats_vs_dogs",
        how="put folders train and test, each with the folders cat and dog, into ROOT/dog_cat",
        splits=("train[:80%]", "train[80%:]"),
    ),
)

PAPER_SETS = {paper.name: paper for paper in _TABLE}
"""The paper's datasets by name, in the order of its Table 3."""


def read_paper_set(
    name: str, root: str | Path | None = None, *, limit_per_class: int | None = None, seed: int = 0
) -> Dataset:
    """Return one of the paper's datasets, with its class names in its order.

    Its files are read where ROOT/NAME/ holds any: train.npz and test.npz, the four idx files, one npz with both parts
    (MedMNIST's), or train/CLASS/ and test/CLASS/. Else it comes by the door that ``PAPER_SETS`` names. Files may hold
    fewer or more images than the paper's.

    Args:
        name: a key of ``PAPER_SETS``.
        root: the folder of datasets; TFDS's own folders are looked for there first, too.
        limit_per_class: at most so many images of every class in each part; see ``Dataset.limited``.
        seed: of that choice.

    Raises:
        InputError: no such name, a set that cannot be had (the sentence says how to get it), or files that are not
            two labelled parts with images of exactly the paper's classes.
    """
    check_choice("the dataset", name, PAPER_SETS)
    paper, root = PAPER_SETS[name], None if root is None else Path(root).expanduser()
    dataset = _read_files(paper, root) if root and _holds_files(root / name) else _read_by_door(paper, root)
    return dataset if limit_per_class is None else dataset.limited(limit_per_class, seed)


def _holds_files(folder: Path) -> bool:
    """Say whether a folder holds anything that TFDS has not put there."""
    return folder.is_dir() and any(folder.iterdir()) and not _holds_tfds(folder)


def _holds_tfds(folder: Path) -> bool:
    return any(folder.glob(f"*/{TFDS_INFO}"))


def _read_files(paper: PaperSet, root: Path) -> Dataset:
    folder = root / paper.name
    archives = sorted(folder.glob("*.npz"))
    if is_npz_pair(folder):
        return _assemble(paper, read_npz_pair(folder)[0])
    if is_idx(folder):
        return _assemble(paper, read_idx_files(folder)[0])
    if is_divided_folder(folder):
        parts = [require(folder / part, Path.is_dir) for part in PARTS]
        return Dataset(paper.name, paper.class_names, *(read_folders(part, _folders(paper, part)) for part in parts))
    if len(archives) == 1:
        return _assemble(paper, _read_both(archives[0]))
    raise InputError(
        f"{folder} must hold {paper.title} as train.npz and test.npz, as one npz file with both parts, as the four idx "
        f"files, or as images in train/CLASS/ and test/CLASS/, but it holds "
        f"{_few(sorted(entry.name for entry in folder.iterdir()))}; {_how(paper, root)}"
    )


def _read_both(path: Path) -> list[Part]:
    found, _ = read_npz_file(path)
    if len(found) != len(PARTS):
        raise InputError(
            f"{path} must hold both train and test, but it holds one part; name its arrays train_images, "
            "train_labels, test_images and test_labels."
        )
    return found


def _read_by_door(paper: PaperSet, root: Path | None) -> Dataset:
    """Return the dataset from the door that the table names."""
    door, _, name = paper.source.partition(":")
    try:
        if door == "medmnist":
            return _assemble(paper, _read_both(find_medmnist(name)))
        if door == "tfds":
            return _read_tfds(paper, name, root)
    except NotThereError as error:
        raise InputError(f"{str(error).rstrip('.')}; or {_how(paper, root)}") from error
    raise InputError(f"{paper.title} must be given as files, but there are none of it; {_how(paper, root)}")


def _read_tfds(paper: PaperSet, name: str, root: Path | None) -> Dataset:
    # Without prepared records in the folder of datasets, TFDS's own folder is meant
    parts, names = read_tfds(name, paper.splits, root if root is not None and _holds_tfds(root / name) else None)
    if len(names) != len(paper.class_names):
        raise InputError(
            f"the TFDS dataset {name} must have the {len(paper.class_names)} classes of {paper.title}, but it has "
            f"{len(names)} ({_few(names)}); use the version that TFDS itself publishes."
        )
    return Dataset(paper.name, paper.class_names, *parts)


def _how(paper: PaperSet, root: Path | None) -> str:
    where = "" if root is not None else "; name ROOT as the folder of datasets (--data-root, data_dir)"
    return f"{paper.how.replace('ROOT', 'ROOT' if root is None else str(root))}{where}."


def _assemble(paper: PaperSet, found: Sequence[Part]) -> Dataset:
    return Dataset(paper.name, paper.class_names, *(_array_split(paper, part) for part in found))


def _array_split(paper: PaperSet, part: Part) -> ArraySplit:
    """Return a part whose stored labels are the paper's numbers."""
    labels, count = stored_labels(part), len(paper.class_names)
    values = np.unique(labels)
    if labels.dtype.kind == "U" or not np.isin(values, np.arange(count)).all():
        raise InputError(
            f"the labels of {part.where} must be integers in 0..{count - 1}, the {count} classes of {paper.title}, "
            f"but they are {_few(values)}; renumber them, 0 for {paper.class_names[0]}."
        )
    absent = [name for label, name in enumerate(paper.class_names) if label not in values]
    if absent:
        raise InputError(
            f"{part.where} must hold images of each class of {paper.title}, but has none of {_few(absent)}; add some."
        )
    return ArraySplit(part.images, labels.astype(np.int64), part.where)


def _folders(paper: PaperSet, root: Path) -> list[str]:
    """Return the folders of the paper's classes, in label order; case, punctuation and a plural s do not matter."""
    found = class_folders(root)
    matches = [[folder for folder in found if _same(folder, name)] for name in paper.class_names]
    if [len(own) for own in matches] != [1] * len(matches) or len(found) != len(matches):
        raise InputError(
            f"{root} must hold one folder for each class of {paper.title}, {', '.join(paper.class_names)}, but it "
            f"holds {', '.join(found)}; rename, add or remove folders."
        )
    return [own[0] for own in matches]


def _same(folder: str, name: str) -> bool:
    plain, expected = (re.sub(r"[\W_]", "", text).casefold() for text in (folder, name))
    return plain in (expected, f"{expected}s")


def _few(values: Sequence | np.ndarray) -> str:
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")

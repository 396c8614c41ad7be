"""The paper's six datasets read by name: from files in a folder of datasets, or by the doors of their publishers."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.text import few
from pcacam_jax.data.dataset import Dataset
from pcacam_jax.data.folders import class_folders, read_folders
from pcacam_jax.data.medmnist_source import find_medmnist
from pcacam_jax.data.npz import CLASS_NAMES
from pcacam_jax.data.paper_table import PAPER_SETS, PaperSet
from pcacam_jax.data.splits import ArraySplit
from pcacam_jax.data.stored_arrays import (
    PARTS,
    NotThereError,
    Part,
    Stored,
    is_divided_folder,
    is_idx,
    is_npz_pair,
    read_idx_files,
    read_npz_file,
    read_npz_pair,
    require,
    stored_labels,
)
from pcacam_jax.data.tfds_source import TFDS_INFO, read_tfds


def read_paper_set(
    name: str, root: str | Path | None = None, *, limit_per_class: int | None = None, seed: int = 0
) -> Dataset:
    """Return one of the paper's datasets, with its class names in its order.

    Its files are read where ROOT/NAME/ holds any: train.npz and test.npz, the four idx files, one npz with both parts
    (MedMNIST's), or train/CLASS/ and test/CLASS/. Else it comes by the door that ``PAPER_SETS`` names. Files may hold
    fewer or more images than the paper's. Stored labels are the paper's numbers, or those of the npz file's own
    ``class_names``.

    Args:
        name: a key of ``PAPER_SETS``.
        root: the folder of datasets; TFDS's own folders are looked for there first, too.
        limit_per_class: at most so many images of every class in each part; see ``Dataset.limited``.
        seed: of that choice.

    Raises:
        InputError: no such name, no such folder, a set that cannot be had (the sentence says how to get it), or files
            that are not two labelled parts with images of exactly the paper's classes.
    """
    check_choice("the dataset", name, PAPER_SETS)
    paper, root = PAPER_SETS[name], None if root is None else _folder_of_datasets(root)
    dataset = _read_files(paper, root) if root and _holds_files(root / name) else _read_by_door(paper, root)
    return dataset if limit_per_class is None else dataset.limited(limit_per_class, seed)


def sets_in(root: str | Path) -> tuple[str, ...]:
    """Return the names of the paper's datasets that lie in a folder of datasets, as files or as TFDS's records.

    The order is the paper's; nothing is opened, so a set that is named here can still be refused by ``read_paper_set``.

    Raises:
        InputError: no such folder, or none of them lies in it; the sentence says what does.
    """
    root = _folder_of_datasets(root)
    names = tuple(name for name, paper in PAPER_SETS.items() if _holds_set(root, paper))
    if not names:
        raise InputError(
            f"the folder of datasets {root} must hold at least one of {', '.join(PAPER_SETS)}, but it holds "
            f"{_entries(root)}; name the folder that they lie in."
        )
    return names


def _folder_of_datasets(root: str | Path) -> Path:
    root = Path(root).expanduser()
    if not root.is_dir():
        raise InputError(
            f"the folder of datasets {root} must be a folder, but there is none at this path; check the spelling."
        )
    return root


def _holds_set(root: Path, paper: PaperSet) -> bool:
    door, _, name = paper.source.partition(":")
    return _holds_files(root / paper.name) or (door == "tfds" and _holds_tfds(root / name))


def _holds_files(folder: Path) -> bool:
    """Say whether a folder holds anything that TFDS has not put there."""
    return folder.is_dir() and any(folder.iterdir()) and not _holds_tfds(folder)


def _holds_tfds(folder: Path) -> bool:
    return any(folder.glob(f"*/{TFDS_INFO}"))


def _entries(folder: Path) -> str:
    return few(sorted(entry.name for entry in folder.iterdir())) or "nothing"


def _read_files(paper: PaperSet, root: Path) -> Dataset:
    folder = root / paper.name
    archives = sorted(folder.glob("*.npz"))
    if is_npz_pair(folder):
        return _assemble(paper, folder, read_npz_pair(folder))
    if is_idx(folder):
        return _assemble(paper, folder, read_idx_files(folder))
    if is_divided_folder(folder):
        parts = [require(folder / part, Path.is_dir) for part in PARTS]
        return Dataset(paper.name, paper.class_names, *(read_folders(part, _folders(paper, part)) for part in parts))
    if len(archives) == 1:
        return _read_archive(paper, archives[0])
    raise InputError(
        f"{folder} must hold {paper.title} as train.npz and test.npz, as one npz file with both parts, as the four idx "
        f"files, or as images in train/CLASS/ and test/CLASS/, but it holds {_entries(folder)}; {_how(paper, root)}"
    )


def _read_archive(paper: PaperSet, path: Path) -> Dataset:
    stored = read_npz_file(path)
    if len(stored[0]) != len(PARTS):
        raise InputError(
            f"{path} must hold both train and test, but it holds one part; name its arrays train_images, "
            "train_labels, test_images and test_labels."
        )
    return _assemble(paper, path, stored)


def _read_by_door(paper: PaperSet, root: Path | None) -> Dataset:
    """Return the dataset from the door that the table names."""
    door, _, name = paper.source.partition(":")
    try:
        if door == "medmnist":
            return _read_archive(paper, find_medmnist(name))
        if door == "tfds":
            return _read_tfds(paper, name, root)
    except NotThereError as error:
        raise InputError(f"{str(error).rstrip('.')}; or {_how(paper, root)}") from error
    raise InputError(f"{paper.title} must be given as files, but there are none of it; {_how(paper, root)}")


def _read_tfds(paper: PaperSet, name: str, root: Path | None) -> Dataset:
    # Without prepared records in the folder of datasets, TFDS's own folder is meant
    parts, names = read_tfds(name, paper.splits, root if root is not None and _holds_tfds(root / name) else None)
    if _places(paper, names) != list(range(len(paper.class_names))):
        raise InputError(
            f"the TFDS dataset {name} must have the classes of {paper.title}, {', '.join(paper.class_names)}, in this "
            f"order, but it has {few(names)}; use the version that TFDS itself publishes."
        )
    return Dataset(paper.name, paper.class_names, *parts)


def _how(paper: PaperSet, root: Path | None) -> str:
    where = "" if root is not None else "; name ROOT as the folder of datasets (--data-root, data_dir)"
    return f"{paper.how.replace('ROOT', 'ROOT' if root is None else str(root))}{where}."


def _assemble(paper: PaperSet, where: Path, stored: Stored) -> Dataset:
    """Return the dataset of stored parts, with the paper's numbers for its classes."""
    parts, names = stored
    places = _places(paper, paper.class_names if names is None else names)
    if places is None:
        raise InputError(
            f"{CLASS_NAMES} in {where} must be the classes of {paper.title}, {', '.join(paper.class_names)}, in the "
            f"order of the labels, but they are {few(names or ()) or 'none'}; correct them, or leave them out if the "
            "labels are in this order."
        )
    return Dataset(paper.name, paper.class_names, *(_array_split(paper, part, np.argsort(places)) for part in parts))


def _array_split(paper: PaperSet, part: Part, numbers: NDArray[np.int64]) -> ArraySplit:
    """Return a part with the paper's number in place of each stored label."""
    labels, count = stored_labels(part), len(paper.class_names)
    values, strings = np.unique(labels), labels.dtype.kind == "U"
    if strings or not np.isin(values, np.arange(count)).all():
        raise InputError(
            f"the labels of {part.where} must be integers in 0..{count - 1}, the {count} classes of {paper.title}, "
            f"but they are {'the strings ' if strings else ''}{few(values)}; "
            f"{'store integers' if strings else 'renumber them'}, 0 for {paper.class_names[numbers[0]]}."
        )
    own = numbers[labels.astype(np.int64)]
    absent = [name for number, name in enumerate(paper.class_names) if number not in own]
    if absent:
        raise InputError(
            f"{part.where} must hold images of each class of {paper.title}, but has none of {few(absent)}; add some."
        )
    return ArraySplit(part.images, own, part.where)


def _folders(paper: PaperSet, root: Path) -> list[str]:
    """Return the folders of the paper's classes, in label order."""
    found = class_folders(root)
    places = _places(paper, found)
    if places is None:
        raise InputError(
            f"{root} must hold one folder for each class of {paper.title}, {', '.join(paper.class_names)}, but it "
            f"holds {', '.join(found)}; rename, add or remove folders."
        )
    return [found[place] for place in places]


def _places(paper: PaperSet, found: Sequence[str]) -> list[int] | None:
    """Return where each of the paper's classes is among the names found; None if they are not one to one.

    Case, punctuation and a plural s do not matter.
    """
    matches = [[place for place, name in enumerate(found) if _same(name, own)] for own in paper.class_names]
    if [len(own) for own in matches] != [1] * len(matches) or len(found) != len(matches):
        return None
    return [own[0] for own in matches]


def _same(found: str, name: str) -> bool:
    plain, expected = (re.sub(r"[\W_]", "", text).casefold() for text in (found, name))
    return plain in (expected, f"{expected}s")

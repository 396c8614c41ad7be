"""The outcome of one dataset: everything that claims are measured on, cached in a folder that is written atomically."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import atomic_folder, digest, read_json, write_json
from pcacam_jax.core.paths import printable, user_path
from pcacam_jax.data import Dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.reproduce.paper import SETS

SCHEMA = 3
"""Part of the key. Increase it when the content stored for a key changes."""
OUTCOMES = "outcomes"
"""Subfolder of a reproduction with one folder per dataset."""
RECORD, ARRAYS = "outcome.json", "arrays.safetensors"


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """The results of fitting one dataset with several seeds.

    Attributes:
        record: plain data; lists over seeds are in the order of ``record["seeds"]``.
        arrays: arrays of the first seed: PCA features and labels of both splits, row numbers of the RBF-SVM's support
            vectors in the training features, and images with their maps.
    """

    record: dict[str, Any]
    arrays: dict[str, np.ndarray]

    __repr__ = brief_repr

    @property
    def title(self) -> str:
        """The dataset's name in the paper."""
        return self.record["title"]

    @property
    def class_names(self) -> list[str]:
        """Names of the C classes in label order."""
        return self.record["class_names"]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the fits."""
        return self.record["seeds"]

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration fields shared by all seeds."""
        return self.record["settings"]

    def scores(self, classifier: str, split: str) -> list[float]:
        """Return the macro F1 of every seed on "train" or "test"."""
        return self.record["scores"][classifier][split]

    def statements(self) -> list[dict[str, Any]]:
        """Return the map statistics of every seed; see ``map_statements``."""
        return self.record["statements"]

    def group(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays whose names start with ``NAME.``, without this prefix."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.arrays.items() if key.startswith(prefix)}


def outcome_key(dataset: Dataset, config: FitConfig, seeds: Sequence[int], weights_digest: str) -> str:
    """Return a SHA-256 digest of everything that an outcome depends on."""
    labels = {split: getattr(dataset, split).labels for split in ("train", "test")}
    content = {
        "schema": SCHEMA,
        "settings": shared_settings(config),
        "seeds": list(seeds),
        "data": [dataset.train.fingerprint(), dataset.test.fingerprint(), digest(labels), list(dataset.class_names)],
        "weights": weights_digest,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def shared_settings(config: FitConfig) -> dict[str, Any]:
    """Return the configuration fields that affect the results, without the seed and the path of the weights."""
    settings = dataclasses.asdict(config) | {"hidden": list(config.hidden)}
    return {name: value for name, value in settings.items() if name not in ("seed", "weights")}


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write an outcome folder atomically and replace an existing one.

    Raises:
        InputError: the existing folder contains other files.
    """
    with atomic_folder(folder, marker=RECORD, check=check_outcome_folder) as temporary:
        write_json(temporary / RECORD, outcome.record)
        write_arrays(temporary / ARRAYS, outcome.arrays)


def check_outcome_folder(folder: Path) -> None:
    """Check that a folder that is to be replaced contains nothing but an outcome.

    Raises:
        InputError: it contains other files.
    """
    others = (
        sorted(path.name for path in folder.iterdir() if path.name not in (RECORD, ARRAYS)) if folder.is_dir() else []
    )
    if others:
        raise InputError(
            f"the folder {printable(folder)} would be replaced, but contains other files "
            f"({', '.join(map(printable, others[:3]))}); move them, or choose another --out."
        )


def read_outcome(folder: Path, key: str) -> Outcome | None:
    """Return the outcome in a folder, or None if it is incomplete or has another key."""
    record = read_record(folder)
    if record.get("key") != key:
        return None
    try:
        return Outcome(record, read_arrays(folder / ARRAYS)[0])
    except InputError:
        return None


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of the outcome in a folder, or an empty one if it cannot be read."""
    try:
        record = read_json(folder / RECORD)
    except InputError:
        return {}
    return record if isinstance(record, dict) else {}


def read_outcomes(out: Path) -> dict[str, Outcome]:
    """Return all outcomes in the folder of a reproduction, in the paper's order.

    Args:
        out: the folder that ``pcacam reproduce --out`` wrote.

    Returns:
        Outcomes by dataset name.

    Raises:
        InputError: the folder contains no outcome, or an outcome is damaged.
    """
    folders = {name: user_path(out) / OUTCOMES / name for name in SETS}
    outcomes = {
        name: Outcome(read_json(folder / RECORD), read_arrays(folder / ARRAYS)[0])
        for name, folder in folders.items()
        if folder.is_dir()
    }
    if not outcomes:
        raise InputError(
            f"{out} contains no outcomes of a reproduction; create them with: pcacam reproduce --out {out}."
        )
    return outcomes

"""The outcome of one dataset: all that claims are measured on, in a folder written whole and read back if it fits."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import digest, folder_written_whole, read_json, write_json
from pcacam_jax.data import Dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.reproduce.paper import SETS

SCHEMA = 2
"""Part of the key: raise it when the same key would mean another content."""
OUTCOMES = "outcomes"
"""Where a reproduction keeps them, a folder for each set."""
RECORD, ARRAYS = "outcome.json", "arrays.safetensors"


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What came of the fits of one dataset over several seeds.

    Attributes:
        record: plain data; lists over seeds are in the order of ``record["seeds"]``.
        arrays: of the first seed: PCA features and labels of both parts, rows of the RBF-SVM's support vectors, and
            images with their maps.
    """

    record: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def title(self) -> str:
        """The set's name in the paper."""
        return self.record["title"]

    @property
    def class_names(self) -> list[str]:
        """C names in label order."""
        return self.record["class_names"]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the fits."""
        return self.record["seeds"]

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of the configuration that all seeds share."""
        return self.record["settings"]

    def scores(self, classifier: str, part: str) -> list[float]:
        """Return the macro F1 of every seed on "train" or "test"."""
        return self.record["scores"][classifier][part]

    def statements(self) -> list[dict[str, Any]]:
        """Return what the maps of every seed say."""
        return self.record["statements"]

    def group(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays "NAME.*" without that prefix."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.arrays.items() if key.startswith(prefix)}


def outcome_key(dataset: Dataset, config: FitConfig, seeds: Sequence[int], weights_digest: str) -> str:
    """Return a digest of all that an outcome depends on."""
    labels = {part: getattr(dataset, part).labels for part in ("train", "test")}
    content = {
        "schema": SCHEMA,
        "settings": shared_settings(config),
        "seeds": list(seeds),
        "data": [dataset.train.fingerprint(), dataset.test.fingerprint(), digest(labels), list(dataset.class_names)],
        "weights": weights_digest,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def shared_settings(config: FitConfig) -> dict[str, Any]:
    """Return the fields that decide what comes out, without the seed, and without where the weights lie."""
    settings = dataclasses.asdict(config) | {"hidden": list(config.hidden)}
    return {name: value for name, value in settings.items() if name not in ("seed", "weights")}


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write an outcome folder, whole or not at all; one that is there is replaced."""
    with folder_written_whole(folder, marker=RECORD) as temporary:
        write_json(temporary / RECORD, outcome.record)
        write_arrays(temporary / ARRAYS, outcome.arrays)


def read_outcome(folder: Path, key: str) -> Outcome | None:
    """Return the outcome in a folder if it is whole and has this key, else None."""
    record = read_record(folder)
    if record.get("key") != key:
        return None
    try:
        return Outcome(record, read_arrays(folder / ARRAYS)[0])
    except InputError:
        return None


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of the outcome in a folder, an empty one where there is none that can be read."""
    try:
        record = read_json(folder / RECORD)
    except InputError:
        return {}
    return record if isinstance(record, dict) else {}


def read_outcomes(out: Path) -> dict[str, Outcome]:
    """Return every outcome that a reproduction keeps in its folder, in the paper's order.

    Raises:
        InputError: there is none, or one is damaged.
    """
    folders = {name: Path(out) / OUTCOMES / name for name in SETS}
    outcomes = {
        name: Outcome(read_json(folder / RECORD), read_arrays(folder / ARRAYS)[0])
        for name, folder in folders.items()
        if folder.is_dir()
    }
    if not outcomes:
        raise InputError(f"{out} holds no outcome of a reproduction; make one with: pcacam reproduce --out {out}.")
    return outcomes

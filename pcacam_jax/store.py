"""Stages and heads on disk: one safetensors file of arrays, the structure as JSON, and a digest over both.

No pickle anywhere, so a file from a stranger can do no harm.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pcacam_jax import stages
from pcacam_jax.chain import Chain
from pcacam_jax.checks import InputError
from pcacam_jax.files import digest, written_whole
from pcacam_jax.head import HybridHead
from pcacam_jax.parallel import Parallel

SCHEMA = "1"
_PARTS = (
    stages.Affine,
    Chain,
    stages.Classifier,
    stages.Dense,
    stages.DiagonalQuadratic,
    stages.Elementwise,
    stages.Flatten,
    stages.GlobalAverage,
    HybridHead,
    stages.KernelExpansion,
    stages.MaxPool,
    stages.Normalise,
    stages.OvrDecision,
    stages.PairwiseMargins,
    Parallel,
    stages.Power,
    stages.Quadratic,
    stages.SVMClassifier,
    stages.Scaling,
    stages.Softmax,
    stages.Take,
)
PARTS = {part.__name__: part for part in _PARTS}
"""Every part that a file may hold, by the name it has there."""


def save(path: Path, stage: Any) -> None:
    """Write a stage or a head to the safetensors file ``path``; whole or not at all.

    Raises:
        InputError: ``stage`` or a part of it is not in :data:`PARTS`, or the folder cannot be written to.
    """
    if type(stage) not in _PARTS:
        raise InputError(f"expected a stage or a head; got {type(stage).__name__}.")
    arrays: dict[str, np.ndarray] = {}
    structure = _encode(stage, "", arrays)
    write_arrays(path, arrays, {"schema": SCHEMA, "structure": json.dumps(structure)})


def restore(path: Path) -> Any:
    """Read what :func:`save` wrote; needs neither scikit-learn nor Flax.

    Raises:
        InputError: absent, truncated, altered, of another schema version, or not a stage at all.
    """
    arrays, metadata = read_arrays(path)
    schema = metadata.get("schema")
    if schema != SCHEMA:
        raise InputError(
            f"{path} has schema version {schema}, but this version reads {SCHEMA}; write it again with it."
        )
    try:
        stage = _decode(json.loads(metadata["structure"]), arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} does not hold a stage that this version knows ({error}); write it again.") from error
    if type(stage) not in _PARTS:
        raise InputError(f"{path} holds {type(stage).__name__}, expected a stage or a head; write it with save.")
    return stage


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write ``arrays`` to the safetensors file ``path`` with ``metadata`` and their digest; whole or not at all.

    Raises:
        InputError: the disk is full, or the folder cannot be written to.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {**(metadata or {}), "digest": _signature(arrays, metadata or {})}
    with written_whole(path) as temporary:
        try:
            safetensors.numpy.save_file(arrays, temporary, metadata=header)
        except safetensors.SafetensorError as error:  # what it makes of a full disk
            raise InputError(f"{path} cannot be written ({error}); make room there and start again.") from error


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a file written by :func:`write_arrays`: the arrays and the metadata.

    Raises:
        InputError: the file is absent, truncated, altered, or was not written by this library.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the file {path} does not exist.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no __iter__)
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}); write or fetch it again.") from error
    expected = metadata.pop("digest", None)
    if expected is None:
        raise InputError(f"{path} carries no digest, so pcacam_jax did not write it; convert it by the documented way.")
    if expected != _signature(arrays, metadata):
        raise InputError(f"the content of {path} does not match its digest: it was altered; write or fetch it again.")
    return arrays, metadata


def _signature(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    header = np.frombuffer(json.dumps(dict(metadata), sort_keys=True).encode(), np.uint8)
    return digest({**arrays, "": header})


def _encode(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return ``value`` as JSON; arrays go to ``arrays`` under their path and are referred to by it."""
    if type(value) in _PARTS:
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {"part": type(value).__name__, "fields": _encode_named(fields, name, arrays)}
    if isinstance(value, dict):
        return {"dict": _encode_named(value, name, arrays)}
    if isinstance(value, tuple):
        return {"tuple": list(_encode_named(dict(enumerate(value)), name, arrays).values())}
    if value is None or isinstance(value, str | bool | int):
        return value
    arrays[name] = np.asarray(value)
    if not np.issubdtype(arrays[name].dtype, np.number):
        raise InputError(
            f"{name} cannot be stored: {type(value).__name__} is neither numbers nor one of {', '.join(PARTS)}."
        )
    return {"array": name}


def _encode_named(values: Mapping[Any, Any], name: str, arrays: dict[str, np.ndarray]) -> dict[Any, Any]:
    prefix = f"{name}." if name else ""
    return {key: _encode(value, f"{prefix}{key}", arrays) for key, value in values.items()}


def _decode(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    if "part" in value:
        return PARTS[value["part"]](**{key: _decode(own, arrays) for key, own in value["fields"].items()})
    if "dict" in value:
        return {key: _decode(own, arrays) for key, own in value["dict"].items()}
    if "tuple" in value:
        return tuple(_decode(own, arrays) for own in value["tuple"])
    return jnp.asarray(arrays[value["array"]])

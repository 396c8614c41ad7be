"""Stages and heads on disk: one safetensors file of arrays, the structure as JSON, and a digest over both.

No pickle anywhere, so a file from a stranger can do no harm.
"""

import contextlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pcacam_jax.checks import InputError
from pcacam_jax.files import digest, written_whole
from pcacam_jax.parts import plain
from pcacam_jax.structure import decode, encode

SCHEMA = "2"
EARLIER = ("1",)
"""Schema versions that are read too; in them, fields that have a default may be absent."""
LIBRARIES = ("pcacam_jax", "jax", "numpy", "scikit-learn")
"""Those whose versions a file names."""


def save(path: str | Path, stage: Any) -> None:
    """Write a stage or a head to the safetensors file ``path``; whole or not at all.

    The same stage gives the same bytes under the same library versions. What could not be read back is not written.

    Raises:
        InputError: a part of ``stage`` is not in :data:`pcacam_jax.parts.PARTS`, holds NaN or infinity, or does not
            fit the others; or ``path`` is a folder, or lies in one that cannot be written to.
    """
    structure, arrays = encode(stage)
    decode(structure, arrays)
    versions = json.dumps({name: _version(name) for name in LIBRARIES})
    write_arrays(Path(path), arrays, {"schema": SCHEMA, "structure": structure, "versions": versions})


def restore(path: str | Path, *, dtype: Any = None) -> Any:
    """Read what :func:`save` wrote; needs neither scikit-learn nor Flax.

    Args:
        path: the file.
        dtype: of the stage that comes back, such as "float32"; by default each array's own. As everywhere in JAX,
            float64 stays float64 only where x64 is switched on.

    Raises:
        InputError: absent, truncated, altered, of a schema version that is not known, or not a stage at all.
    """
    if dtype is not None and not _is_floating(dtype):
        raise InputError(f"dtype must be a floating-point dtype such as 'float32'; got {plain(repr(dtype), 40)}.")
    arrays, metadata = read_arrays(Path(path))
    schema = metadata.get("schema")
    if schema not in (SCHEMA, *EARLIER):
        raise InputError(_other_schema(path, schema, metadata))
    try:
        return decode(metadata.get("structure", ""), arrays, dtype=dtype, absent=schema in EARLIER)
    except InputError as error:
        raise InputError(
            f"{path} does not hold a stage that this version knows ({plain(error, 400)}); write it again with save."
        ) from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write ``arrays`` to the safetensors file ``path`` with ``metadata`` and their digest; whole or not at all.

    Raises:
        InputError: ``path`` is a folder, the disk is full, or the folder cannot be written to.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the path of a file in it, such as {path / 'head.safetensors'}.")
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {**(metadata or {}), "digest": _signature(arrays, metadata or {})}
    with written_whole(path) as temporary:
        try:
            safetensors.numpy.save_file(arrays, temporary, metadata=header)
            _sort_metadata(temporary)
        except safetensors.SafetensorError as error:  # what it makes of a full disk
            raise InputError(f"{path} cannot be written ({plain(error)}); make room there and start again.") from error


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
        raise InputError(
            f"{path} is not a readable safetensors file ({plain(error)}); write or fetch it again."
        ) from error
    expected = metadata.pop("digest", None)
    if expected is None:
        raise InputError(f"{path} carries no digest, so pcacam_jax did not write it; convert it by the documented way.")
    if expected != _signature(arrays, metadata):
        raise InputError(f"the content of {path} does not match its digest: it was altered; write or fetch it again.")
    return arrays, metadata


def _signature(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    header = np.frombuffer(json.dumps(dict(metadata), sort_keys=True).encode(), np.uint8)
    return digest({**arrays, "": header})


def _sort_metadata(path: Path) -> None:
    """Bring the metadata of a safetensors file in order of name; the library writes them in the order of a hash map."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        file.seek(8)
        file.write(text.ljust(length))


def _other_schema(path: str | Path, schema: str | None, metadata: Mapping[str, str]) -> str:
    known = ", ".join((*EARLIER, SCHEMA))
    came = f"{path} has schema version {plain(schema, 20)}, but this version of pcacam_jax reads {known}"
    if not (schema or "").isdecimal() or int(schema or 0) < int(SCHEMA):
        return f"{came}; write it again with save."
    with contextlib.suppress(ValueError, KeyError, TypeError):
        writer = plain(json.loads(metadata["versions"])["pcacam_jax"], 20)
        return f"{came}; it was written by pcacam_jax {writer}, so install that version or a later one."
    return f"{came}; install a later version of pcacam_jax."


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:  # run from a folder of sources
        return "unknown"


def _is_floating(dtype: Any) -> bool:
    try:
        return jnp.issubdtype(jax.dtypes.canonicalize_dtype(dtype), jnp.floating)
    except TypeError:
        return False

"""Named arrays in one safetensors file with a digest over all of it; written whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import digest, written_whole
from pcacam_jax.core.text import plain


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

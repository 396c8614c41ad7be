"""Named arrays in one safetensors file, written atomically and protected by a digest of its whole content."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import atomic_write, digest
from pcacam_jax.core.text import one_line


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays, metadata and their digest to a safetensors file; a failed write leaves no partial file.

    Args:
        path: the file to write; an existing file is replaced.
        arrays: the arrays by name.
        metadata: further strings to store in the header, by name.

    Raises:
        InputError: ``path`` is a folder, the disk is full, or the folder is not writable.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the path of a file in it, such as {path / 'head.safetensors'}.")
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {**(metadata or {}), "digest": _signature(arrays, metadata or {})}
    with atomic_write(path) as temporary:
        try:
            safetensors.numpy.save_file(arrays, temporary, metadata=header)
            _sort_metadata(temporary)
        except safetensors.SafetensorError as error:  # raised on a full disk, in place of an OSError
            raise InputError(
                f"{path} cannot be written ({one_line(error)}); free some disk space and start again."
            ) from error


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a file written by :func:`write_arrays`.

    Args:
        path: the file to read.

    Returns:
        The arrays by name and the metadata, without the digest.

    Raises:
        InputError: the file does not exist, is truncated or altered, or was not written by this library.
    """
    path = Path(path)
    try:
        exists = path.is_file()
    except OSError:  # a name that is too long
        exists = False
    if not exists:
        raise InputError(f"the file {one_line(path)} does not exist.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no __iter__)
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not a readable safetensors file ({one_line(error)}); write or download it again."
        ) from error
    expected = metadata.pop("digest", None)
    if expected is None:
        raise InputError(f"{path} has no digest, so pcacam_jax did not write it; write it again with pcacam_jax.")
    if expected != _signature(arrays, metadata):
        raise InputError(
            f"the content of {path} does not match its digest, so it was altered; write or download it again."
        )
    return arrays, metadata


def _signature(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    header = np.frombuffer(json.dumps(dict(metadata), sort_keys=True).encode(), np.uint8)
    return digest({**arrays, "": header})


def _sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file by name, because the library writes it in hash-map order."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        file.seek(8)
        file.write(text.ljust(length))

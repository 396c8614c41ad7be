"""Named arrays on disk as safetensors, with a digest that tells when a file was altered."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from pcacam_jax.checks import InputError
from pcacam_jax.files import digest, written_whole


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write ``arrays`` to the safetensors file ``path`` with ``metadata`` and their digest; whole or not at all."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {**(metadata or {}), "digest": _signature(arrays, metadata or {})}
    with written_whole(path) as temporary:
        safetensors.numpy.save_file(arrays, temporary, metadata=header)


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

"""The idx file format of MNIST and Fashion-MNIST: a magic number, big-endian dimensions, then the bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.checks import InputError

IMAGES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
LABELS = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}

_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"


def find_idx(folder: Path, name: str) -> Path:
    """Return the path of an idx file in ``folder``, plain or gzipped.

    Raises:
        InputError: if the folder holds neither.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(
        f"the folder {folder} must hold {name} or {name}.gz, but has neither; put all four idx files into it."
    )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array in an idx file of unsigned bytes with the given number of dimensions.

    Raises:
        InputError: if the file is damaged, has another type or number of dimensions, or its length does not match the
            shape in its header.
    """
    content = _read_bytes(path)
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]):
        raise InputError(
            f"{path} must be an idx file of unsigned bytes with {dimensions} dimensions and begin with "
            f"0000080{dimensions} in hexadecimal, but it begins with {content[:4].hex() or 'nothing'}; "
            "check which file it is."
        )
    # A truncated header is padded with zeros, so that the check of the length reports the file
    shape = struct.unpack(f">{dimensions}I", content[4:start].ljust(start - 4, b"\0"))
    if len(content) != start + math.prod(shape):
        raise InputError(
            f"{path} must hold {start + math.prod(shape)} bytes for the shape {shape}, but it holds {len(content)}; "
            "copy or download it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        # The suffix is not reliable: some browsers decompress a download and keep the suffix .gz
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); copy or download it again.") from error

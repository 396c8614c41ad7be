"""The idx files that MNIST and its kin come in: a magic number, big-endian lengths, then the bytes."""

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
        InputError: it has neither.
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
        InputError: the file is damaged, of another type or number of dimensions, or shorter or longer than it says.
    """
    content = _read_bytes(path)
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]):
        raise InputError(
            f"{path} must be an idx file of unsigned bytes with {dimensions} dimensions and begin with "
            f"0000080{dimensions} in hexadecimal, but it begins with {content[:4].hex() or 'nothing'}; "
            "check which file it is."
        )
    # A header that is cut short is padded, so that the length below tells of it
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
        # By content, not by name: some browsers unpack a file and keep its suffix
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); copy or download it again.") from error

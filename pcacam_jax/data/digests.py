"""SHA-256 digests of image files; they name cached features and find images that occur twice."""

import functools
import hashlib
import time
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import NamedTuple

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.paths import printable
from pcacam_jax.data.image_headers import bits_per_channel
from pcacam_jax.data.images import is_transparent

_SETTLED = 3_000_000_000
"""Nanoseconds after a change until a file's times show every further change, on any file system."""


class FileDigest(NamedTuple):
    """The size of a file in bytes and its 32-byte digest."""

    size: int
    digest: bytes


def digest_file(path: Path) -> FileDigest:
    """Return the size and the digest of an image file; a file that has not changed since the last call is not read.

    Raises:
        InputError: if the file cannot be read.
    """
    try:
        state = path.stat()
        settled = time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED
        read = _remembered if settled else _remembered.__wrapped__
        return read(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
    except OSError as error:
        raise InputError(
            f"the image {printable(path)} cannot be read ({error.strerror}); restore it or remove it."
        ) from error


@functools.lru_cache(maxsize=100_000)
def _remembered(path: Path, *_state: int) -> FileDigest:
    with path.open("rb") as file:
        digest = digest_image(file)
        return FileDigest(file.seek(0, 2), digest)


def digest_image(file: BufferedReader | BytesIO) -> bytes:
    """Return the SHA-256 of an image file's bytes.

    To the bytes of an image with transparent pixels or more than 8 bits per channel a mark is added. Earlier versions
    showed hidden colours and cut deep channels, so features that they cached must not be found.
    """
    total = hashlib.file_digest(file, "sha256")
    file.seek(0)
    if is_transparent(file) or bits_per_channel(file) > 8:
        total.update(b"|8 bits on white")
    return total.digest()

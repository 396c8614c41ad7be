"""A crash-safe on-disk cache of feature maps, written in chunks and verified by checksum.

Every cache key, which lists all that the maps depend on, has a folder with these files::

    key.json   the key as JSON, and the number of images in a chunk
    maps.npy   a NumPy file; the chunks are written in place, one after the other
    done       the journal: a line with the index and the CRC-32 of every chunk that is completely on the disk
    lock       locked by the process that uses the folder; the operating system releases it if the process dies

A chunk whose bytes do not match the checksum in the journal is recomputed, whether the process was killed while writing
it, the file was truncated or the bytes were overwritten. Neither the NumPy file nor the journal needs to be complete,
and one damaged chunk never invalidates the others.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import atomic_write, cache_folder, writable_folder, write_json
from pcacam_jax.core.progress import CACHED, Advance

WAITING = "waiting for another process"
"""Reported as progress while another process holds the lock."""
_POLL_SECONDS = 0.5
"""Time between two attempts to acquire the lock."""
_READ_BYTES = 1 << 22


@dataclass(frozen=True)
class FeatureCache:
    """The cached maps of one key; use it only while the lock is held, see :func:`locked_cache`.

    Attributes:
        folder: the folder with the files.
        shape: shape of the maps, ``(N, h, w, K)``.
        dtype: little-endian dtype of the stored maps.
        chunk: number of images in a chunk; the last chunk may have fewer.
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: int

    def rows(self, index: int) -> range:
        """Return the indices of the images of a chunk."""
        return range(index * self.chunk, min((index + 1) * self.chunk, self.shape[0]))

    def nbytes(self, rows: range) -> int:
        """Return the size of the maps of these images in bytes."""
        return len(rows) * math.prod(self.shape[1:]) * self.dtype.itemsize

    def missing(self, advance: Advance) -> list[int]:
        """Return the chunks that are absent or damaged; report the images of the others to ``advance`` as cached."""
        journal, absent = self._journal(), []
        chunks = math.ceil(self.shape[0] / self.chunk)
        with _as_input_error(self.folder), (self.folder / "maps.npy").open("rb", buffering=0) as file:
            for index in range(chunks):
                if index in journal and journal[index] == self._checksum(file, self.rows(index)):
                    advance(len(self.rows(index)), CACHED)
                else:
                    absent.append(index)
        return absent

    def write(self, index: int, batches: Iterable[np.ndarray]) -> None:
        """Write the maps of a chunk, then add it to the journal once all of its bytes are on the disk.

        Args:
            index: number of the chunk.
            batches: the maps of its images, in order.

        Raises:
            InputError: the disk is full or not writable.
        """
        rows, checksum = self.rows(index), 0
        with (self.folder / "maps.npy").open("r+b", buffering=0) as file:
            file.seek(self._offset(rows))
            for batch in batches:
                content = np.ascontiguousarray(batch, self.dtype).reshape(-1).view(np.uint8).data
                checksum = zlib.crc32(content, checksum)
                with _as_input_error(self.folder):
                    _write_all(file, content)
            with _as_input_error(self.folder):
                os.fsync(file.fileno())
        with _as_input_error(self.folder), (self.folder / "done").open("ab", buffering=0) as journal:
            _write_all(journal, memoryview(f"{index} {checksum:08x}\n".encode()))
            os.fsync(journal.fileno())

    def maps(self) -> np.ndarray:
        """Return the maps as a read-only memory map."""
        return np.load(self.folder / "maps.npy", mmap_mode="r")

    def _offset(self, rows: range) -> int:
        return len(_header(self.shape, self.dtype)) + self.nbytes(range(rows.start))

    def _checksum(self, file: io.FileIO, rows: range) -> int | None:
        """Return the checksum of the maps of these images, or None if the file ends before them."""
        file.seek(self._offset(rows))
        remaining, checksum, buffer = self.nbytes(rows), 0, memoryview(bytearray(_READ_BYTES))
        while remaining and (count := file.readinto(buffer[: min(remaining, _READ_BYTES)])):
            checksum = zlib.crc32(buffer[:count], checksum)
            remaining -= count
        return None if remaining else checksum

    def _journal(self) -> dict[int, int]:
        """Return the checksums of the finished chunks, and remove incomplete lines so that none is continued later."""
        path = self.folder / "done"
        with _as_input_error(self.folder):
            content = path.read_bytes() if path.exists() else b""
            lines = re.findall(rb"^(\d+) ([0-9a-f]{8})\n", content, re.MULTILINE)
            if content != (valid := b"".join(b"%b %b\n" % line for line in lines)):
                with atomic_write(path) as temporary:
                    temporary.write_bytes(valid)
        return {int(index): int(checksum, 16) for index, checksum in lines}


@contextlib.contextmanager
def locked_cache(
    key: Mapping[str, Any], shape: tuple[int, ...], dtype: str, *, chunk: int, advance: Advance
) -> Iterator[FeatureCache]:
    """Lock the cache of ``key`` for this process, create it if absent, and yield it.

    Args:
        key: everything that the maps depend on, as JSON values.
        shape: shape of the maps, ``(N, h, w, K)``.
        dtype: dtype of the stored maps.
        chunk: images in a chunk of a new cache; an existing cache keeps its chunk size.
        advance: called with ``WAITING`` while another process holds the lock.

    Raises:
        InputError: the folder is not writable, or holds the features of another key.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    folder = writable_folder(cache_folder() / "features" / name)
    lock = FileLock(folder / "lock")
    with _as_input_error(folder):
        _acquire(lock, advance)
    try:
        stored_dtype = np.dtype(dtype).newbyteorder("<")
        with _as_input_error(folder):
            cache = FeatureCache(folder, shape, stored_dtype, _chunk_size(folder, key, chunk))
            _repair_file(cache)
        yield cache
    finally:
        lock.release()


def _acquire(lock: FileLock, advance: Advance) -> None:
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_POLL_SECONDS)
        except Timeout:
            advance(0, WAITING)


def _chunk_size(folder: Path, key: Mapping[str, Any], chunk: int) -> int:
    """Return the chunk size in ``key.json``; write the file if it is absent or damaged.

    Raises:
        InputError: the file holds another key.
    """
    path = folder / "key.json"
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError):
        stored = None
    if isinstance(stored, dict) and {*key, "chunk"} <= set(stored):
        differences = [
            f"{name} {stored[name]} instead of {value}" for name, value in key.items() if stored[name] != value
        ]
        if differences:
            raise InputError(
                f"the cache {folder} holds other features ({', '.join(differences)}); delete this folder to extract "
                "the features again."
            )
        if type(stored["chunk"]) is int and stored["chunk"] > 0:
            return stored["chunk"]
    # Without the key it is unknown which features the chunks hold
    (folder / "done").unlink(missing_ok=True)
    write_json(path, {**key, "chunk": chunk})
    return chunk


def _repair_file(cache: FeatureCache) -> None:
    """Write the header of the NumPy file if it is damaged, and truncate the file to its full length."""
    path, header = cache.folder / "maps.npy", _header(cache.shape, cache.dtype)
    path.touch()
    with path.open("r+b", buffering=0) as file:
        if file.read(len(header)) != header:
            file.seek(0)
            _write_all(file, memoryview(header))
        end = len(header) + cache.nbytes(range(cache.shape[0]))
        if path.stat().st_size > end:
            file.truncate(end)


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return header.getvalue()


def _write_all(file: io.FileIO, content: memoryview) -> None:
    # On a full disk, writing to a memory map would kill the process; a plain write raises, but may write only a part.
    while content:
        content = content[file.write(content) :]


@contextlib.contextmanager
def _as_input_error(folder: Path) -> Iterator[None]:
    """Turn an error of the file system into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the feature cache {folder} cannot be used ({error.strerror}); finished chunks are saved: free some disk "
            "space or set PCACAM_CACHE to another folder, and start again."
        ) from error

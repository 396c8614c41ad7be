"""Feature maps on disk that grow chunk by chunk, outlive a kill at any instant and are believed by checksum only.

One folder for each key, what the maps depend on::

    key.json   the key in plain words, and how many images make a chunk
    maps.npy   a NumPy file; the chunks are written in place, one after the other
    done       a line for each chunk that is on the disk: its index and the CRC-32 of its bytes
    lock       held by the process that reads or writes the others; the kernel frees it when that process dies

A chunk whose bytes do not have the checksum of its line is made anew, whatever happened to it: killed while it was
written, cut off, overwritten. So neither the NumPy file nor the journal need be whole, and nothing is ever thrown away
but the bad chunk.
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
from pcacam_jax.core.files import cache_folder, writable_folder, write_json, written_whole
from pcacam_jax.core.progress import KEPT, Advance

WAITING = "waiting for another process"
_POLL = 0.5  # seconds
_READ = 1 << 22  # bytes


@dataclass(frozen=True)
class FeatureCache:
    """The maps of one key, as long as its lock is held; see :func:`locked_cache`.

    Attributes:
        folder: where its files are.
        shape: (N, h, w, K).
        dtype: of the stored maps, little-endian.
        chunk: images in a chunk; the last one may have fewer.
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: int

    def rows(self, index: int) -> range:
        """Return the images of a chunk."""
        return range(index * self.chunk, min((index + 1) * self.chunk, self.shape[0]))

    def nbytes(self, rows: range) -> int:
        """Return how many bytes the maps of some images take."""
        return len(rows) * math.prod(self.shape[1:]) * self.dtype.itemsize

    def missing(self, advance: Advance) -> list[int]:
        """Return the chunks that are absent or not what they were; images of the others go to ``advance``."""
        journal, absent = self._journal(), []
        chunks = math.ceil(self.shape[0] / self.chunk)
        with _refusing(self.folder), (self.folder / "maps.npy").open("rb", buffering=0) as file:
            for index in range(chunks):
                if index in journal and journal[index] == self._checksum(file, self.rows(index)):
                    advance(len(self.rows(index)), KEPT)
                else:
                    absent.append(index)
        return absent

    def write(self, index: int, batches: Iterable[np.ndarray]) -> None:
        """Write the maps of a chunk, given in batches; it counts as there when all of it is on the disk.

        Raises:
            InputError: the disk is full or cannot be written to.
        """
        rows, checksum = self.rows(index), 0
        with (self.folder / "maps.npy").open("r+b", buffering=0) as file:
            file.seek(self._offset(rows))
            for batch in batches:
                content = np.ascontiguousarray(batch, self.dtype).reshape(-1).view(np.uint8).data
                checksum = zlib.crc32(content, checksum)
                with _refusing(self.folder):
                    _write_all(file, content)
            with _refusing(self.folder):
                os.fsync(file.fileno())
        with _refusing(self.folder), (self.folder / "done").open("ab", buffering=0) as journal:
            _write_all(journal, memoryview(f"{index} {checksum:08x}\n".encode()))
            os.fsync(journal.fileno())

    def maps(self) -> np.ndarray:
        """Return the maps, read-only and memory-mapped."""
        return np.load(self.folder / "maps.npy", mmap_mode="r")

    def _offset(self, rows: range) -> int:
        return len(_header(self.shape, self.dtype)) + self.nbytes(range(rows.start))

    def _checksum(self, file: io.FileIO, rows: range) -> int | None:
        """Return the checksum of the bytes of some images, None where the file ends before them."""
        file.seek(self._offset(rows))
        left, checksum, buffer = self.nbytes(rows), 0, memoryview(bytearray(_READ))
        while left and (count := file.readinto(buffer[: min(left, _READ)])):
            checksum = zlib.crc32(buffer[:count], checksum)
            left -= count
        return None if left else checksum

    def _journal(self) -> dict[int, int]:
        """Return the checksums of the finished chunks; a line torn by a kill is removed before another follows it."""
        path = self.folder / "done"
        with _refusing(self.folder):
            content = path.read_bytes() if path.exists() else b""
            lines = re.findall(rb"^(\d+) ([0-9a-f]{8})\n", content, re.MULTILINE)
            if content != (good := b"".join(b"%b %b\n" % line for line in lines)):
                with written_whole(path) as temporary:
                    temporary.write_bytes(good)
        return {int(index): int(checksum, 16) for index, checksum in lines}


@contextlib.contextmanager
def locked_cache(
    key: Mapping[str, Any], shape: tuple[int, ...], dtype: str, *, chunk: int, advance: Advance
) -> Iterator[FeatureCache]:
    """Yield the cache of ``key``, made if absent, while no other process has it.

    Args:
        key: what the maps depend on: plain JSON values.
        shape: (N, h, w, K).
        dtype: of the stored maps.
        chunk: images in a chunk, if the cache is new: one that was begun keeps its own.
        advance: told when another process is waited for.

    Raises:
        InputError: the folder cannot be written to, or holds the features of another key.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    folder = writable_folder(cache_folder() / "features" / name)
    lock = FileLock(folder / "lock")
    with _refusing(folder):
        _acquire(lock, advance)
    try:
        stored = np.dtype(dtype).newbyteorder("<")
        with _refusing(folder):
            cache = FeatureCache(folder, shape, stored, _agreed_chunk(folder, key, chunk))
            _repair_frame(cache)
        yield cache
    finally:
        lock.release()


def _acquire(lock: FileLock, advance: Advance) -> None:
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_POLL)
        except Timeout:
            advance(0, WAITING)


def _agreed_chunk(folder: Path, key: Mapping[str, Any], chunk: int) -> int:
    """Return the chunk size in ``key.json``, which is written if it is absent or damaged.

    Raises:
        InputError: it is the key of other features.
    """
    path = folder / "key.json"
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict) and {*key, "chunk"} <= set(found):
        other = [f"{name} {found[name]} instead of {value}" for name, value in key.items() if found[name] != value]
        if other:
            raise InputError(
                f"the cache {folder} holds other features ({', '.join(other)}); delete this folder, and they are made "
                "anew."
            )
        if type(found["chunk"]) is int and found["chunk"] > 0:
            return found["chunk"]
    # Nobody can tell any more what the chunks were made from
    (folder / "done").unlink(missing_ok=True)
    write_json(path, {**key, "chunk": chunk})
    return chunk


def _repair_frame(cache: FeatureCache) -> None:
    """Give the NumPy file its header, and cut off what lies beyond its end; the chunks have their checksums."""
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
    # Ordinary writes: on a full disk a memory map ends the process without a word. They may write less than was asked.
    while content:
        content = content[file.write(content) :]


@contextlib.contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the feature cache {folder} cannot be used ({error.strerror}); what is finished is kept: make room or set "
            "PCACAM_CACHE to another folder, and start again."
        ) from error

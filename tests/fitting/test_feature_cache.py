"""The feature cache: whatever happens to its files, only the damaged chunks are recomputed."""

import errno
import json
import os
import re
import shutil

import jax
import numpy as np
import pytest
from support.extracting import CHUNK, CHUNKS, OPTIONS, cheap, small_chunks, split

from pcacam_jax.core.checks import InputError
from pcacam_jax.fitting import feature_cache, features
from pcacam_jax.fitting.feature_cache import FeatureCache
from pcacam_jax.fitting.features import cached_features

HEADER = 128
CHUNK_BYTES = CHUNK * 512 * 4


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return the list of chunks that are written during the test; a chunk has 16 images."""
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path))
    monkeypatch.setattr(features, "extract", cheap)
    small_chunks(monkeypatch)
    indices, write = [], FeatureCache.write

    def recorded(self, index, batches):
        indices.append(index)
        write(self, index, batches)

    monkeypatch.setattr(FeatureCache, "write", recorded)
    return indices


def maps(digest="w"):
    return cached_features({}, digest, split(), **OPTIONS)


def folder(tmp_path):
    (path,) = (tmp_path / "features").iterdir()
    return path


@pytest.fixture
def complete(written, tmp_path):
    """Return the maps and the folder of a complete cache."""
    expected = np.array(maps())
    assert written == list(range(CHUNKS))
    written.clear()
    return expected, folder(tmp_path)


def test_the_files_are_readable(complete):
    key = json.loads((complete[1] / "key.json").read_text())
    assert key == {"format": features.FORMAT, "data": split().fingerprint(), "weights": "w", **OPTIONS} | {
        "storage": "float32",
        "backend": jax.default_backend(),
        "chunk": CHUNK,
    }
    assert len((complete[1] / "done").read_text().splitlines()) == CHUNKS
    np.testing.assert_array_equal(np.load(complete[1] / "maps.npy"), complete[0])


def flipped(position):
    def change(content):
        return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]

    return change


def without_line(number):
    return lambda content: b"".join(line for i, line in enumerate(content.splitlines(keepends=True)) if i != number)


LAST = [CHUNKS - 1]
DAMAGES = {
    "a bit of a chunk": ("maps.npy", flipped(HEADER + 3 * CHUNK_BYTES + 77), [3]),
    "the last byte": ("maps.npy", flipped(-1 % (HEADER + 180 * 2048)), LAST),
    "a bit of the header": ("maps.npy", flipped(30), []),
    "the last byte cut off": ("maps.npy", lambda content: content[:-1], LAST),
    "cut off in the middle": ("maps.npy", lambda content: content[: HEADER + 5 * CHUNK_BYTES + 9], list(range(5, 12))),
    "trailing bytes": ("maps.npy", lambda content: content + b"x" * 1000, []),
    "an empty file": ("maps.npy", lambda content: b"", list(range(12))),
    "other content": ("maps.npy", lambda content: b"x" * len(content), list(range(12))),
    "a line without a newline": ("done", lambda content: content[:-1], LAST),
    "a truncated line": ("done", lambda content: content[:-4], LAST),
    "a missing line": ("done", without_line(4), [4]),
    "a wrong checksum": ("done", lambda content: re.sub(rb"\n2 .{8}", b"\n2 00000000", content), [2]),
    "a line of a chunk that does not exist": ("done", lambda content: content + b"99 00000000\n", []),
    "a journal that is not text": ("done", lambda content: b"\xff\x00\n", list(range(12))),
    "a key that is not JSON": ("key.json", lambda content: content[:-9], list(range(12))),
    "a key without an entry": ("key.json", lambda content: content.replace(b"weights", b"heights"), list(range(12))),
    "a chunk size of 0": ("key.json", lambda content: content.replace(b'"chunk": 16', b'"chunk": 0'), list(range(12))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_only_damaged_chunks_are_recomputed(complete, written, tmp_path, damage):
    expected, cache = complete
    name, change, chunks = DAMAGES[damage]
    intact = {file: (cache / file).read_bytes() for file in ("maps.npy", "key.json")}
    (cache / name).write_bytes(change((cache / name).read_bytes()))
    np.testing.assert_array_equal(maps(), expected)
    assert written == chunks
    assert {file: (cache / file).read_bytes() for file in intact} == intact
    written.clear()
    maps()
    assert not written


@pytest.mark.parametrize(("name", "chunks"), [("maps.npy", 12), ("done", 12), ("key.json", 12), ("lock", 0)])
def test_a_missing_file_is_written_again(complete, written, name, chunks):
    (complete[1] / name).unlink()
    np.testing.assert_array_equal(maps(), complete[0])
    assert written == list(range(chunks))


def test_an_incomplete_cache_keeps_its_chunk_size(complete, written, monkeypatch):
    monkeypatch.setattr(features, "CHUNK_BATCHES", 3)
    lines = (complete[1] / "done").read_text().splitlines(keepends=True)
    (complete[1] / "done").write_text("".join(lines[:6]))
    np.testing.assert_array_equal(maps(), complete[0])
    assert written == list(range(6, 12))


def test_features_of_other_weights_are_rejected(complete, written, tmp_path):
    other = np.array(maps("v"))
    (theirs,) = {*(tmp_path / "features").iterdir()} - {complete[1]}
    shutil.rmtree(theirs)
    shutil.copytree(complete[1], theirs)
    written.clear()
    with pytest.raises(InputError) as error:
        maps("v")
    assert str(error.value) == (
        f"the cache {theirs} holds other features (weights w instead of v); delete this folder to extract the features "
        "again."
    )
    assert not written
    shutil.rmtree(theirs)
    np.testing.assert_array_equal(maps("v"), other)


class FullDisk:
    """A disk with some free bytes; a write that does not fit writes a part first, as the operating system does."""

    def __init__(self, monkeypatch, free, number):
        self.free, self.number = free, number
        self.write_all = feature_cache._write_all
        monkeypatch.setattr(feature_cache, "_write_all", self)

    def __call__(self, file, content):
        self.write_all(file, content[: self.free])
        if len(content) > self.free:
            raise OSError(self.number, os.strerror(self.number))
        self.free -= len(content)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
@pytest.mark.parametrize("free", [HEADER + 3 * (CHUNK_BYTES + 11) + 5000, HEADER + 4 * CHUNK_BYTES + 3 * 11 + 5])
def test_a_full_disk_keeps_the_finished_chunks(written, tmp_path, monkeypatch, number, free):
    with monkeypatch.context() as patch:
        FullDisk(patch, free, number)
        with pytest.raises(
            InputError, match=rf"{os.strerror(number)}\); finished chunks are saved: free some disk space or set"
        ):
            maps()
    assert written == [0, 1, 2, 3]
    written.clear()
    result = maps()
    assert written == list(range(3, 12))
    np.testing.assert_array_equal(result, cheap({}, split().images(slice(None), 32), tap="", scaling="", dtype=""))


def test_a_limit_on_the_file_size_keeps_the_finished_chunks(written, tmp_path):
    """The operating system rejects the write in the middle of the fourth chunk."""
    resource = pytest.importorskip("resource", reason="limits on the file size exist on Unix only")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ, so that the write fails instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (HEADER + 3 * CHUNK_BYTES + 5000, limits[1]))
    try:
        with pytest.raises(InputError, match="File too large"):
            maps()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    maps()
    assert written == [0, 1, 2, 3, *range(3, 12)]

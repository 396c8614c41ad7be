"""The store of the maps: whatever happens to its files, only the chunks that are bad are made anew."""

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
    """Return the list of chunks that are written from now on, each of 16 images."""
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path))
    monkeypatch.setattr(features, "extract", cheap)
    small_chunks(monkeypatch)
    indices, write = [], FeatureCache.write

    def noted(self, index, batches):
        indices.append(index)
        write(self, index, batches)

    monkeypatch.setattr(FeatureCache, "write", noted)
    return indices


def maps(digest="w"):
    return cached_features({}, digest, split(), **OPTIONS)


def folder(tmp_path):
    (own,) = (tmp_path / "features").iterdir()
    return own


@pytest.fixture
def made(written, tmp_path):
    """Return the maps and their folder after an extraction of all chunks."""
    expected = np.array(maps())
    assert written == list(range(CHUNKS))
    written.clear()
    return expected, folder(tmp_path)


def test_a_person_can_read_what_they_are(made):
    key = json.loads((made[1] / "key.json").read_text())
    assert key == {"format": features.FORMAT, "data": split().fingerprint(), "weights": "w", **OPTIONS} | {
        "storage": "float32",
        "backend": jax.default_backend(),
        "chunk": CHUNK,
    }
    assert len((made[1] / "done").read_text().splitlines()) == CHUNKS
    np.testing.assert_array_equal(np.load(made[1] / "maps.npy"), made[0])


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
    "the end cut off": ("maps.npy", lambda content: content[:-1], LAST),
    "cut off in the middle": ("maps.npy", lambda content: content[: HEADER + 5 * CHUNK_BYTES + 9], list(range(5, 12))),
    "more than there should be": ("maps.npy", lambda content: content + b"x" * 1000, []),
    "nothing in it": ("maps.npy", lambda content: b"", list(range(12))),
    "something else in it": ("maps.npy", lambda content: b"x" * len(content), list(range(12))),
    "a line without its end": ("done", lambda content: content[:-1], LAST),
    "a line cut off": ("done", lambda content: content[:-4], LAST),
    "a line that is not there": ("done", without_line(4), [4]),
    "a wrong checksum": ("done", lambda content: re.sub(rb"\n2 .{8}", b"\n2 00000000", content), [2]),
    "a chunk too many": ("done", lambda content: content + b"99 00000000\n", []),
    "no text in the journal": ("done", lambda content: b"\xff\x00\n", list(range(12))),
    "a key that is not JSON": ("key.json", lambda content: content[:-9], list(range(12))),
    "a key that lacks a word": ("key.json", lambda content: content.replace(b"weights", b"heights"), list(range(12))),
    "a chunk size of 0": ("key.json", lambda content: content.replace(b'"chunk": 16', b'"chunk": 0'), list(range(12))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_only_what_is_damaged_is_made_anew(made, written, tmp_path, damage):
    expected, own = made
    name, change, chunks = DAMAGES[damage]
    whole = {file: (own / file).read_bytes() for file in ("maps.npy", "key.json")}
    (own / name).write_bytes(change((own / name).read_bytes()))
    np.testing.assert_array_equal(maps(), expected)
    assert written == chunks
    assert {file: (own / file).read_bytes() for file in whole} == whole
    written.clear()
    maps()
    assert not written


@pytest.mark.parametrize(("name", "chunks"), [("maps.npy", 12), ("done", 12), ("key.json", 12), ("lock", 0)])
def test_a_file_that_is_gone(made, written, name, chunks):
    (made[1] / name).unlink()
    np.testing.assert_array_equal(maps(), made[0])
    assert written == list(range(chunks))


def test_a_chunk_size_that_was_begun_with_stays(made, written, monkeypatch):
    monkeypatch.setattr(features, "CHUNK_BATCHES", 3)
    lines = (made[1] / "done").read_text().splitlines(keepends=True)
    (made[1] / "done").write_text("".join(lines[:6]))
    np.testing.assert_array_equal(maps(), made[0])
    assert written == list(range(6, 12))


def test_features_of_other_weights_are_refused(made, written, tmp_path):
    other = np.array(maps("v"))
    (theirs,) = {*(tmp_path / "features").iterdir()} - {made[1]}
    shutil.rmtree(theirs)
    shutil.copytree(made[1], theirs)
    written.clear()
    with pytest.raises(InputError) as refused:
        maps("v")
    assert str(refused.value) == (
        f"the cache {theirs} holds other features (weights w instead of v); delete this folder, and they are made anew."
    )
    assert not written
    shutil.rmtree(theirs)
    np.testing.assert_array_equal(maps("v"), other)


class Full:
    """A disk with room for some bytes more; writes that do not fit are cut short first, as the system does."""

    def __init__(self, monkeypatch, room, number):
        self.room, self.number = room, number
        self.write_all = feature_cache._write_all
        monkeypatch.setattr(feature_cache, "_write_all", self)

    def __call__(self, file, content):
        self.write_all(file, content[: self.room])
        if len(content) > self.room:
            raise OSError(self.number, os.strerror(self.number))
        self.room -= len(content)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
@pytest.mark.parametrize("room", [HEADER + 3 * (CHUNK_BYTES + 11) + 5000, HEADER + 4 * CHUNK_BYTES + 3 * 11 + 5])
def test_a_disk_that_runs_full_keeps_the_finished_chunks(written, tmp_path, monkeypatch, number, room):
    with monkeypatch.context() as patch:
        Full(patch, room, number)
        with pytest.raises(InputError, match=rf"{os.strerror(number)}\); what is finished is kept: make room or set"):
            maps()
    assert written == [0, 1, 2, 3]
    written.clear()
    result = maps()
    assert written == list(range(3, 12))
    np.testing.assert_array_equal(result, cheap({}, split().images(slice(None), 32), tap="", scaling="", dtype=""))


def test_a_file_may_not_grow_in_earnest(written, tmp_path):
    """The system itself refuses the write, in the middle of the fourth chunk."""
    resource = pytest.importorskip("resource", reason="limits on files are a matter of Unix")
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

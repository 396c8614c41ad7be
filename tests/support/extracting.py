"""A deliberately slow extraction in its own process, which logs its steps and may kill itself at a chosen one."""

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
from support.small_runs import pictures, random_params

CHUNK = 16
CHUNKS = 12
OPTIONS = {"size": 32, "tap": "block5_pool", "scaling": "caffe", "dtype": "float32"}


def split(count=60):
    """Return ``3 * count`` images; the default of 180 gives twelve chunks of 16, the last with four."""
    from pcacam_jax.data import ArraySplit

    return ArraySplit(*pictures(count, 0))


def cheap(params, images, *, tap, scaling, dtype):
    """Replace VGG16 by maps that depend on every pixel."""
    images = np.asarray(images, np.float32)
    grid = images[..., 0].reshape(len(images), 2, 512)
    return (grid.mean(axis=1) / 7 + images.sum(axis=(1, 2, 3))[:, None] / 3000).reshape(-1, 1, 1, 512)


def small_chunks(patch):
    from pcacam_jax.fitting import features

    patch.setattr(features, "CHUNK_BATCHES", 1)
    patch.setattr(features, "batch_size", lambda: CHUNK)


def extract_in_a_child(folder, *, count=60, pause=0.0, real=False, die_at=None):
    """Extract into ``folder/cache``; write "begin 3" for chunk 3 and the reported progress to ``folder/log``."""
    import pytest

    from pcacam_jax.fitting import feature_cache, features

    folder = Path(folder)
    patch = pytest.MonkeyPatch()
    patch.setenv("PCACAM_CACHE", str(folder / "cache"))
    small_chunks(patch)
    if not real:
        patch.setattr(features, "extract", cheap)
    _slow(patch, feature_cache, pause, die_at)
    write = feature_cache.FeatureCache.write

    def logged(self, index, batches):
        _log(folder, f"begin {index}")
        write(self, index, batches)

    patch.setattr(feature_cache.FeatureCache, "write", logged)
    maps = features.cached_features(
        random_params() if real else {}, "w", split(count), **OPTIONS, advance=lambda steps, now="": _log(folder, now)
    )
    _log(folder, f"end {maps.shape[0]}")


def _slow(patch, feature_cache, pause, die_at):
    """Split every write into two halves, and pause after each half and after every fsync.

    The process kills itself at the pause with the number ``die_at``.
    """
    moments = iter(range(10**6))
    write_all, fsync = feature_cache._write_all, os.fsync

    def moment():
        if next(moments) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(pause)

    def halves(file, content):
        middle = len(content) // 2
        write_all(file, content[:middle])
        moment()
        write_all(file, content[middle:])
        moment()

    def synced(descriptor):
        fsync(descriptor)
        moment()

    patch.setattr(feature_cache, "_write_all", halves)
    patch.setattr(os, "fsync", synced)


def _log(folder, line):
    with (folder / "log").open("a") as file:
        file.write(f"{os.getpid()} {line}\n")


def log(folder):
    """Return the lines of the log as (process, text)."""
    path = Path(folder) / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(line.split(" ", 1)) for line in lines]


def begun(folder):
    return [int(text.split()[1]) for _, text in log(folder) if text.startswith("begin")]


def journal(folder):
    """Return the chunks that have a complete line in the journal."""
    paths = list((Path(folder) / "cache" / "features").glob("*/done"))
    content = paths[0].read_text() if paths else ""
    return {int(line[:-10]) for line in content.splitlines(keepends=True) if re.fullmatch(r"\d+ [0-9a-f]{8}\n", line)}


def stored(folder):
    (path,) = (Path(folder) / "cache" / "features").glob("*/maps.npy")
    return path.read_bytes()

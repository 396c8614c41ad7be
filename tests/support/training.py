"""A deliberately slow training in its own process, which logs its epochs."""

import time
from pathlib import Path

import numpy as np
from support.extracting import log

EPOCHS = 40
OPTIONS = {
    "sizes": (6, 3),
    "activation": "sigmoid",
    "feature_scale": 1.0,
    "epochs": EPOCHS,
    "batch_size": 16,
    "validation_fraction": 0.2,
}


def data():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    features = random.normal(size=(120, 2, 2, 5)).astype(np.float32)
    features[..., 0] += labels[:, None, None]
    return features, labels


def train_in_a_child(folder, *, pause=0.0):
    """Train three heads with a checkpoint in ``folder``; write "begin 3" for epoch 3 to ``folder/log``.

    Each epoch pauses before and after the bytes of its checkpoint are written, and after the file is renamed.
    """
    import pytest
    import safetensors.numpy

    from pcacam_jax.fitting import checkpoints, out_of_core
    from pcacam_jax.fitting.training import Member, train_heads

    folder, patch = Path(folder), pytest.MonkeyPatch()
    patch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    patch.setattr(out_of_core, "RESIDENT_BYTES", 0)
    patch.setattr(out_of_core, "BLOCK_BYTES", 4 * 20 * 16 * 3 * 2)  # two batches of three heads
    save_file = safetensors.numpy.save_file

    def slowly(*arguments, **options):
        time.sleep(pause)
        save_file(*arguments, **options)
        time.sleep(pause)

    patch.setattr(safetensors.numpy, "save_file", slowly)
    done = 0

    def advance(steps, now=""):
        nonlocal done
        done += steps
        with (folder / "log").open("a") as file:
            file.write(f"{done} begin {done}\n")
        time.sleep(pause)

    features, labels = data()
    if not (folder / "maps.npy").exists():
        np.save(folder / "maps.npy", features)
    maps = np.load(folder / "maps.npy", mmap_mode="r")
    members = [Member(0, 0.3), Member(1, 0.3), Member(2, 0.1)]
    checkpoint = folder / "checkpoint.safetensors"
    heads = train_heads(maps, labels, members, **OPTIONS, checkpoint=checkpoint, advance=advance)
    arrays = [np.asarray(leaf) for head in heads for layer in head.layers for leaf in layer]
    np.savez(folder / "heads.npz", *arrays, *[np.array(head.loss) for head in heads])


def epochs_done(folder):
    """Return the numbers of the finished epochs in the log, of all processes in order."""
    return [int(text.split()[1]) for _, text in log(folder)]


def trained(folder):
    with np.load(Path(folder) / "heads.npz") as file:
        return {name: file[name] for name in file.files}

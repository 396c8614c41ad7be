"""The options of ``pcacam fit`` that choose the data."""

import signal
import sys

import numpy as np
import pytest

from pcacam_jax import cli
from pcacam_jax.core.checks import InputError


@pytest.fixture
def read_by_command(monkeypatch, tmp_path):
    """Return a function that returns the dataset that ``pcacam fit`` would use, without fitting."""

    def read(*options):
        datasets = []

        def make_run(load, *others, **options):
            datasets.append(load())
            raise InputError("that is enough.")

        monkeypatch.setattr("pcacam_jax.runs.make_run.make_run", make_run)
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr("warnings.showwarning", lambda *_: None)
        monkeypatch.setattr(sys, "argv", ["pcacam", "fit", "--out", str(tmp_path / "run"), *map(str, options)])
        with pytest.raises(SystemExit):
            cli.main()
        return datasets[0]

    return read


def test_a_limited_dataset_is_drawn_with_the_seed_of_the_run(read_by_command, tmp_path):
    (tmp_path / "mnist").mkdir()
    for part, seed in (("train", 0), ("test", 1)):
        images = np.random.default_rng(seed).integers(0, 256, (200, 8, 8), np.uint8)
        np.savez(tmp_path / "mnist" / f"{part}.npz", images=images, labels=np.arange(200) % 10)
    options = ("--data", "mnist", "--data-root", tmp_path)
    whole, limited, again, other = (
        read_by_command(*options, *more)
        for more in ((), *(("--limit-per-class", 4, "--seed", seed) for seed in (7, 7, 8)))
    )
    assert (len(whole.train), len(limited.train), len(limited.test)) == (200, 40, 40)
    assert limited.train.fingerprint() == whole.limited(4, 7).train.fingerprint() == again.train.fingerprint()
    assert limited.train.fingerprint() != other.train.fingerprint()

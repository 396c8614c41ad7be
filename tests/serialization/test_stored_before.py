"""A head and a run written by an earlier version load with the same bits and give the same heatmaps."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

from pcacam_jax import HybridHead, explain, load, restore, save

STORED = Path(__file__).parents[1] / "stored"
"""Written at version 0.1.0, schema 2, before the modules moved into packages."""


def stored_arrays(path):
    """Every array of a safetensors file, read without the library."""
    return safetensors.numpy.load_file(path)


def restored(name):
    return restore(STORED / "head.safetensors") if name == "head" else load(STORED / "run").head


@pytest.mark.parametrize(("name", "path"), [("head", "head.safetensors"), ("run", "run/model.safetensors")])
def test_arrays_keep_their_bits_when_read_and_written_again(name, path, tmp_path, x64):
    head = restored(name)
    assert isinstance(head, HybridHead)
    expected = stored_arrays(STORED / path)
    assert len(jax.tree.leaves(head)) == len(expected)
    save(tmp_path / "again.safetensors", head)
    again = stored_arrays(tmp_path / "again.safetensors")
    assert again.keys() == expected.keys()
    for key, array in expected.items():
        assert again[key].dtype == array.dtype
        np.testing.assert_array_equal(again[key], array)
    assert jax.tree.structure(restore(tmp_path / "again.safetensors")) == jax.tree.structure(head)


@pytest.mark.parametrize("name", ["head", "run"])
def test_heatmaps_equal_the_stored_ones(name):
    with np.load(STORED / f"{name}_maps.npz") as stored:
        explained = explain(restored(name), stored["maps"], stored["targets"].tolist(), method="gradcam")
        components = np.array(explained.spaces) == "component"
        names = [[f"component {int(label) + 1}" for label in row] for row in stored["labels"][:, components]]
        np.testing.assert_array_equal(explained.labels[:, components], names)
        np.testing.assert_array_equal(explained.labels[:, ~components], stored["labels"][:, ~components])
        for field in ("positive", "negative", "values"):
            expected = stored[field]
            computed = np.asarray(getattr(explained, field))
            assert computed.dtype == expected.dtype
            # Another processor may sum in another order, so the last digits of float32 are not compared.
            np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_other_files_of_the_run_are_read():
    run = load(STORED / "run")
    assert run.class_names == ("left", "right", "stripes")
    assert run.config.hidden == (8, 6, 5)
    assert run.metrics["metrics"].keys() == {"cnn", "svm_linear", "svm_rbf"}
    assert json.loads((STORED / "run" / "verification.json").read_text())["passed"]

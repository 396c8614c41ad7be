"""A head and a run that earlier code wrote load, hold the same bits, and are explained as they were then."""

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
def test_arrays_have_the_same_bits_and_are_written_back_alike(name, path, tmp_path, x64):
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
    with (
        safetensors.safe_open(STORED / path, "numpy") as old,
        safetensors.safe_open(tmp_path / "again.safetensors", "numpy") as new,
    ):
        assert old.metadata()["structure"] == new.metadata()["structure"]
        assert old.metadata()["schema"] == new.metadata()["schema"]


@pytest.mark.parametrize("name", ["head", "run"])
def test_maps_are_those_of_then(name):
    with np.load(STORED / f"{name}_maps.npz") as then:
        explained = explain(restored(name), then["maps"], then["targets"].tolist())
        np.testing.assert_array_equal(explained.labels, then["labels"])
        for field in ("positive", "negative", "values"):
            expected = then[field]
            found = np.asarray(getattr(explained, field))
            assert found.dtype == expected.dtype
            # Another processor may sum in another order, so the last digits of float32 are not compared.
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_run_s_files_are_read():
    run = load(STORED / "run")
    assert run.class_names == ("left", "right", "stripes")
    assert run.config.hidden == (8, 6, 5)
    assert run.metrics["metrics"].keys() == {"cnn", "svm_linear", "svm_rbf"}
    assert json.loads((STORED / "run" / "verification.json").read_text())["passed"]

"""Stages on disk: bit for bit there and back, and nothing but a whole, own, unaltered file is read."""

import json
import subprocess
import sys

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import pcacam_jax
from pcacam_jax import InputError, store
from pcacam_jax.store import read_arrays, restore, save, write_arrays


def assert_same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for own, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (own.shape, own.dtype) == (other.shape, other.dtype)
        assert np.asarray(own).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("name", cases.NAMES)
def test_every_stage_there_and_back(name, dtype, tmp_path):
    stage, _ = cases.case(name, dtype)
    save(tmp_path / "stage.safetensors", stage)
    assert_same(restore(tmp_path / "stage.safetensors"), stage)


@pytest.mark.parametrize("components", [3, None])
def test_a_head_there_and_back(components, dtype, tmp_path):
    network = cases.network(pca=components)
    head = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), network.head)
    save(tmp_path / "head.safetensors", head)
    again = restore(tmp_path / "head.safetensors")
    assert_same(again, head)
    assert again.outputs == head.outputs
    assert again.svms["svm_rbf"].pairs.parameters["gamma"].shape == ()
    maps = jnp.asarray(network.maps[0], dtype)
    for name, value in jax.jit(lambda head, maps: head(maps))(again, maps).items():
        np.testing.assert_allclose(value, head(maps)[name], rtol=1e-4, atol=1e-5)


def test_arrays_of_every_shape_there_and_back(tmp_path):
    arrays = {
        "scalar": np.float64(2.5),
        "whole": np.arange(3),
        "none": np.zeros((0, 4), np.float32),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "yes": np.array([True, False]),
    }
    write_arrays(tmp_path / "a.safetensors", arrays, {"note": "ä"})
    found, metadata = read_arrays(tmp_path / "a.safetensors")
    assert metadata == {"note": "ä"}
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture
def whole(tmp_path):
    """The path and the bytes of a good file."""
    path = tmp_path / "stage.safetensors"
    save(path, cases.case("classifier, rbf", "float32")[0])
    return path, path.read_bytes()


def test_a_flipped_bit_or_a_missing_tail_is_refused(whole):
    path, content = whole
    rng = np.random.default_rng(0)
    for place in [0, 7, 8, len(content) - 1, *rng.integers(0, len(content), 30)]:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"stage\.safetensors"):
            restore(path)
    for length in [0, 1, 8, len(content) - 1, *rng.integers(0, len(content), 16)]:
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="is not a readable safetensors file"):
            restore(path)
    path.write_bytes(content + b"more")
    with pytest.raises(InputError, match="is not a readable safetensors file"):
        restore(path)


def rewritten(path, **changes):
    arrays, metadata = read_arrays(path)
    write_arrays(path, arrays, {name: value for name, value in (metadata | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": "2"}, "has schema version 2, but this version reads 1"),
        ({"schema": None}, "has schema version None"),
        ({"structure": None}, "does not hold a stage"),
        ({"structure": "{"}, "does not hold a stage"),
        ({"structure": '{"part": "Popen", "fields": {}}'}, "does not hold a stage.*Popen"),
        ({"structure": '{"part": "Dense", "fields": {"wings": 2}}'}, "does not hold a stage"),
        ({"structure": '{"part": "Dense", "fields": {"kernel": {"array": "nowhere"}}}'}, "nowhere"),
        ({"structure": '"a word"'}, "holds str, expected a stage"),
        ({"structure": "{}"}, "does not hold a stage"),
        ({"structure": "[1]"}, "holds list, expected a stage"),
    ],
)
def test_a_file_that_holds_no_stage_is_refused(whole, changes, sentence):
    path, _ = whole
    rewritten(path, **changes)
    with pytest.raises(InputError, match=sentence):
        restore(path)


def test_a_foreign_or_missing_file_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(InputError, match="does not exist"):
        restore(path)
    with pytest.raises(InputError, match="does not exist"):
        restore(tmp_path)
    safetensors.numpy.save_file({"a": np.ones(3)}, path)
    with pytest.raises(InputError, match="carries no digest"):
        restore(path)
    safetensors.numpy.save_file({"a": np.ones(3)}, path, metadata={"digest": "0" * 64, "schema": "1"})
    with pytest.raises(InputError, match="does not match its digest: it was altered"):
        restore(path)
    path.write_text(json.dumps({"a": 1}))
    with pytest.raises(InputError, match="not a readable safetensors file"):
        restore(path)


class Own:
    """A stage of the user's, which no file can hold."""

    in_shape = (1,)


def test_what_cannot_be_stored_is_refused(tmp_path):
    for stage in (Own(), np.ones(3), {"a": 1}):
        with pytest.raises(InputError, match="expected a stage or a head; got"):
            save(tmp_path / "a.safetensors", stage)
    with pytest.raises(
        InputError, match=r"stages\.1 cannot be stored: Own is neither numbers nor one of Affine, Chain"
    ):
        save(tmp_path / "a.safetensors", pcacam_jax.Chain((pcacam_jax.Flatten((1, 1, 1)), Own())))
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_midway_leaves_the_old_file(whole, monkeypatch):
    path, content = whole

    def half(arrays, place, metadata):
        place.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.numpy, "save_file", half)
    with pytest.raises(OSError, match="disk full"):
        save(path, cases.case("affine", "float32")[0])
    assert path.read_bytes() == content
    assert [own.name for own in path.parent.iterdir()] == [path.name]


def test_reading_needs_neither_scikit_learn_nor_flax(tmp_path):
    network = cases.network()
    save(tmp_path / "head.safetensors", network.head)
    np.save(tmp_path / "maps.npy", network.maps)
    script = """
import sys
import numpy as np
from pcacam_jax import explain, store
head = store.restore("head.safetensors")
found = explain(head, np.load("maps.npy"), ["pca", "svm_rbf:predicted"])
assert found.signed.shape == (7, 4, 3, 4)
loaded = {"sklearn", "flax"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, cwd=tmp_path)


def test_parts_are_named_by_their_class():
    assert {name: part.__name__ for name, part in store.PARTS.items()} == {name: name for name in store.PARTS}

"""Stages on disk: bit for bit there and back, and nothing but a whole, own, unaltered file is read."""

import dataclasses
import functools
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from support import cases

import pcacam_jax
from pcacam_jax import InputError
from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.serialization import schema
from pcacam_jax.serialization.store import restore, save


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
    assert restore(tmp_path / "head.safetensors", dtype="float16").dtype == jnp.float16
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
    save(path, cases.case("SVM rbf, margins", "float32")[0])
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
        (
            {"schema": "3", "versions": '{"pcacam_jax": "7.1"}'},
            r"version 3, but .* reads 1, 2; .* by pcacam_jax 7\.1, so",
        ),
        ({"schema": "3", "versions": "{"}, r"has schema version 3, .* install a later version of pcacam_jax\."),
        ({"schema": "10", "versions": "[]"}, r"install a later version of pcacam_jax\."),
        ({"schema": "0"}, r"has schema version 0, .* write it again with save\."),
        ({"schema": "two"}, r"has schema version two, .* write it again with save\."),
        ({"schema": None}, "has schema version None"),
        ({"structure": None}, "does not hold a stage"),
    ],
)
def test_another_schema_gets_a_sentence_that_says_what_to_do(whole, changes, sentence):
    path, _ = whole
    rewritten(path, **changes)
    with pytest.raises(InputError, match=sentence):
        restore(path)


def test_a_file_names_the_libraries_that_wrote_it(whole):
    _, metadata = read_arrays(whole[0])
    versions = json.loads(metadata["versions"])
    assert versions["jax"] == jax.__version__
    assert set(versions) == {"pcacam_jax", "jax", "numpy", "scikit-learn"}


def test_the_same_stage_gives_the_same_bytes(whole):
    path, content = whole
    script = f"""
from pcacam_jax import store
store.save({str(path)!r}, store.restore({str(path)!r}))
"""
    for seed in ("1", "2"):
        subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        assert path.read_bytes() == content


def as_schema_1(stage):
    """A stage as version 0.1.0 wrote it: the arrays and the structure, without the fields that came later."""
    arrays = {}

    def encode(value, name):
        inner = lambda key: f"{name}.{key}" if name else str(key)  # noqa: E731
        if dataclasses.is_dataclass(value):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.name not in LATER}
            return {"part": type(value).__name__, "fields": {key: encode(v, inner(key)) for key, v in fields.items()}}
        if isinstance(value, dict):
            return {"dict": {key: encode(v, inner(key)) for key, v in value.items()}}
        if isinstance(value, tuple):
            return {"tuple": [encode(v, inner(i)) for i, v in enumerate(value)]}
        if value is None or isinstance(value, str | bool | int):
            return value
        arrays[name] = np.asarray(value)
        return {"array": name}

    return arrays, {"structure": json.dumps(encode(stage, "")), "schema": "1"}


LATER = ("relative", "spaces")


@pytest.mark.parametrize("name", ["head", "SVM rbf, margins", "trunk", "decision"])
def test_a_file_of_the_first_schema_is_read(name, tmp_path):
    stage = cases.network().head if name == "head" else cases.case(name, "float32")[0]
    arrays, metadata = as_schema_1(stage)
    write_arrays(tmp_path / "old.safetensors", arrays, metadata)
    assert_same(restore(tmp_path / "old.safetensors"), stage)


def test_fields_may_be_absent_in_the_first_schema_only(tmp_path):
    arrays, metadata = as_schema_1(cases.case("SVM rbf, margins", "float32")[0])
    write_arrays(tmp_path / "old.safetensors", arrays, metadata | {"schema": "2"})
    with pytest.raises(InputError, match="KernelExpansion, lacks its field 'relative'"):
        restore(tmp_path / "old.safetensors")


def test_floats_are_static_fields_too(tmp_path, monkeypatch):
    @pytree
    class Shrink:
        factor: float = static()

        in_shape = (2,)

        def __call__(self, x):
            return self.factor * x

        def forward(self, x):
            return self(x), None

        def pull_back(self, saved, rows):
            return self.factor * rows

    monkeypatch.setitem(schema.PARTS, "Shrink", Shrink)
    save(tmp_path / "a.safetensors", Shrink(0.1 + 0.2))
    assert restore(tmp_path / "a.safetensors") == Shrink(0.1 + 0.2)
    save(tmp_path / "a.safetensors", Shrink(np.float64(0.5)))
    assert restore(tmp_path / "a.safetensors") == Shrink(0.5)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(InputError, match=r"is NaN or infinite; give it a finite number\.$"):
            save(tmp_path / "b.safetensors", Shrink(wrong))
    with pytest.raises(InputError, match=r"Shrink\.factor must be float.* got 1"):
        save(tmp_path / "b.safetensors", Shrink(1))
    assert not (tmp_path / "b.safetensors").exists()


def test_the_dtype_of_what_comes_back_is_checked(whole):
    path, _ = whole
    for wrong in ("int32", "floaty", np.complex64, 7):
        with pytest.raises(InputError, match="dtype must be a floating-point dtype"):
            restore(path, dtype=wrong)
    large = pcacam_jax.Scaling(np.full(2, 1e9, np.float32), np.ones(2, np.float32))
    save(path, large)
    with pytest.raises(InputError, match="scale, of float32 and read as float16, must be finite"):
        restore(path, dtype="float16")


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


def chain_of(depth):
    stage = pcacam_jax.Elementwise("tanh", 2)
    for _ in range(depth):
        stage = pcacam_jax.Chain((stage,))
    return stage


ones = functools.partial(np.ones, dtype=np.float32)


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        (Own(), "cannot be stored: Own is neither floats .* nor one of Affine, "),
        (ones(3), "expected a stage or a head"),
        ({"a": 1}, "a cannot be stored: the dtype int64"),
        (pcacam_jax.Chain((pcacam_jax.Flatten((1, 1, 1)), Own())), r"stages\.1 cannot be stored: Own is neither"),
        (pcacam_jax.Chain(()), "do not fit together"),
        (chain_of(200), "nested more than"),
        (chain_of(5000), "nested more than"),
        (pcacam_jax.Scaling(ones(2), np.array([1, np.nan])), "center must be finite"),
        (
            pcacam_jax.Scaling(ones(2), ones(3)),
            r"Scaling\.center must be Float.* got ArrayImpl of float32 and shape \(3,\)",
        ),
        (pcacam_jax.Scaling(ones(2), ones(1)), r"Scaling\.center must be"),
        (pcacam_jax.Scaling(ones(2), np.arange(2)), "center cannot be stored: the dtype int64 is neither floats"),
        (pcacam_jax.Dense(ones((2, 3)), ones(3), "wave"), "activation must be one of"),
        (
            pcacam_jax.Chain((pcacam_jax.Elementwise("tanh", 2), pcacam_jax.Elementwise("tanh", 3))),
            "do not fit together",
        ),
        (pcacam_jax.Flatten((2, 3)), r"Flatten\.shape must be tuple"),
        (pcacam_jax.PairwiseMargins(1), "classes must be 2 to"),
    ],
)
def test_what_cannot_be_stored_is_refused(stage, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence) as error:
        save(tmp_path / "a.safetensors", stage)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
    assert list(tmp_path.iterdir()) == []


def test_the_file_has_the_mode_of_every_other(tmp_path):
    save(tmp_path / "a.safetensors", pcacam_jax.Flatten((2, 2, 3)))
    (tmp_path / "b").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_folder_is_no_place_for_a_stage(tmp_path):
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(
            InputError, match=r"is a folder; give the path of a file in it, such as .*/head\.safetensors"
        ):
            save(folder, cases.case("PCA", "float32")[0])
    assert list(tmp_path.iterdir()) == []


def test_two_arrays_of_one_name_are_refused(tmp_path):
    head = cases.network().head
    machine = head.svms["svm_rbf"].pairs
    clash = dataclasses.replace(head, svms={**head.svms, "svm_rbf.pairs": machine})
    with pytest.raises(InputError, match=r"would both be named svms\.svm_rbf\.pairs\..*; rename one"):
        save(tmp_path / "a.safetensors", clash)


def test_a_writer_that_fails_midway_leaves_the_old_file(whole, monkeypatch):
    path, content = whole

    def half(arrays, place, metadata):
        place.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.numpy, "save_file", half)
    with pytest.raises(OSError, match="disk full"):
        save(path, cases.case("PCA", "float32")[0])
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


def test_parts_are_all_the_stages_by_the_names_of_their_classes():
    assert {name: part.__name__ for name, part in schema.PARTS.items()} == {name: name for name in schema.PARTS}
    assert {"Affine", "Chain", "Dense", "HybridHead", "KernelExpansion", "Parallel", "Take"} <= set(schema.PARTS)
    assert {type(cases.case(name, "float32")[0]) for name in cases.NAMES} <= set(schema.PARTS.values())

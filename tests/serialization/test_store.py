"""Stages on disk: exact round trips, and the rejection of truncated, altered and foreign files."""

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


def assert_same(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert (leaf.shape, leaf.dtype) == (other.shape, other.dtype)
        assert np.asarray(leaf).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("name", cases.NAMES)
def test_round_trip_of_every_stage(name, dtype, tmp_path):
    stage, _ = cases.case(name, dtype)
    save(tmp_path / "stage.safetensors", stage)
    assert_same(restore(tmp_path / "stage.safetensors"), stage)


@pytest.mark.parametrize("components", [3, None])
def test_round_trip_of_a_head(components, dtype, tmp_path):
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


def test_round_trip_of_arrays_of_every_shape(tmp_path):
    arrays = {
        "scalar": np.float64(2.5),
        "integers": np.arange(3),
        "empty": np.zeros((0, 4), np.float32),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "booleans": np.array([True, False]),
    }
    write_arrays(tmp_path / "a.safetensors", arrays, {"note": "ä"})
    restored, metadata = read_arrays(tmp_path / "a.safetensors")
    assert metadata == {"note": "ä"}
    assert set(restored) == set(arrays)
    for name, array in arrays.items():
        assert (restored[name].shape, restored[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(restored[name], array)


@pytest.fixture
def valid_file(tmp_path):
    """The path and the bytes of a valid file."""
    path = tmp_path / "stage.safetensors"
    save(path, cases.case("SVM rbf, margins", "float32")[0])
    return path, path.read_bytes()


def test_a_flipped_bit_or_a_missing_tail_is_rejected(valid_file):
    path, content = valid_file
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
            {"schema": "4", "versions": '{"pcacam_jax": "7.1"}'},
            r"version 4, but .* reads 1, 2, 3; .* by pcacam_jax 7\.1, so",
        ),
        ({"schema": "4", "versions": "{"}, r"has schema version 4, .* install a later version of pcacam_jax\."),
        ({"schema": "10", "versions": "[]"}, r"install a later version of pcacam_jax\."),
        ({"schema": "0"}, r"has schema version 0, .* write it again with save\."),
        ({"schema": "two"}, r"has schema version two, .* write it again with save\."),
        ({"schema": None}, "has schema version None"),
        ({"structure": None}, "does not contain a valid stage"),
    ],
)
def test_an_unknown_schema_raises_an_error_that_says_what_to_do(valid_file, changes, sentence):
    path, _ = valid_file
    rewritten(path, **changes)
    with pytest.raises(InputError, match=sentence):
        restore(path)


def test_a_file_records_the_versions_of_the_libraries(valid_file):
    _, metadata = read_arrays(valid_file[0])
    versions = json.loads(metadata["versions"])
    assert versions["jax"] == jax.__version__
    assert set(versions) == {"pcacam_jax", "jax", "numpy", "scikit-learn"}


def test_the_same_stage_gives_the_same_bytes(valid_file):
    path, content = valid_file
    script = f"""
from pcacam_jax.serialization import store
store.save({str(path)!r}, store.restore({str(path)!r}))
"""
    for seed in ("1", "2"):
        subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        assert path.read_bytes() == content


def as_schema_1(stage):
    """The arrays and metadata of a stage as version 0.1.0 wrote it, without the fields that were added later."""
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


@pytest.mark.parametrize("name", ["head", "SVM rbf, margins", "trunk", "SVM linear, ovr"])
def test_a_file_of_the_first_schema_is_read(name, tmp_path):
    stage = cases.network().head if name == "head" else cases.case(name, "float32")[0]
    arrays, metadata = as_schema_1(stage)
    write_arrays(tmp_path / "old.safetensors", arrays, metadata)
    assert_same(restore(tmp_path / "old.safetensors"), stage)


def test_fields_may_be_missing_in_earlier_schemas_only(tmp_path):
    arrays, metadata = as_schema_1(cases.case("SVM rbf, margins", "float32")[0])
    write_arrays(tmp_path / "old.safetensors", arrays, metadata | {"schema": "3"})
    with pytest.raises(InputError, match="is a KernelExpansion without the field 'relative'"):
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

    monkeypatch.setitem(schema.STORABLE_CLASSES, "Shrink", Shrink)
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


def test_the_requested_dtype_is_checked(valid_file):
    path, _ = valid_file
    for wrong in ("int32", "floaty", np.complex64, 7):
        with pytest.raises(InputError, match="dtype must be a floating-point dtype"):
            restore(path, dtype=wrong)
    large = pcacam_jax.Scaling(np.full(2, 1e9, np.float32), np.ones(2, np.float32))
    save(path, large)
    with pytest.raises(InputError, match="scale, of float32 and read as float16, must be finite"):
        restore(path, dtype="float16")


def test_a_foreign_or_missing_file_is_rejected(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(InputError, match="does not exist"):
        restore(path)
    with pytest.raises(InputError, match="does not exist"):
        restore(tmp_path)
    safetensors.numpy.save_file({"a": np.ones(3)}, path)
    with pytest.raises(InputError, match="has no digest"):
        restore(path)
    safetensors.numpy.save_file({"a": np.ones(3)}, path, metadata={"digest": "0" * 64, "schema": "1"})
    with pytest.raises(InputError, match="does not match its digest, so it was altered"):
        restore(path)
    path.write_text(json.dumps({"a": 1}))
    with pytest.raises(InputError, match="not a readable safetensors file"):
        restore(path)


class UserStage:
    """A stage of a user, which cannot be saved."""

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
        (UserStage(), "the stage must be an array of float16, .* or one of Affine, .*; got UserStage"),
        (ones(3), "expected a stage or a head"),
        ({"a": 1}, "a must be an array of float16, .*; got an array of int64"),
        (pcacam_jax.Chain((pcacam_jax.Flatten((1, 1, 1)), UserStage())), r"stages\.1 must be .*; got UserStage"),
        (pcacam_jax.Chain(()), "do not fit together"),
        (chain_of(200), "nested more than"),
        (chain_of(5000), "nested more than"),
        (pcacam_jax.Scaling(ones(2), np.array([1, np.nan])), "center must be finite"),
        (
            pcacam_jax.Scaling(ones(2), ones(3)),
            r"Scaling\.center must be Float.* got ArrayImpl of float32 and shape \(3,\)",
        ),
        (pcacam_jax.Scaling(ones(2), ones(1)), r"Scaling\.center must be"),
        (pcacam_jax.Scaling(ones(2), np.arange(2)), "center must be an array of float16, .*; got an array of int64"),
        (pcacam_jax.Dense(ones((2, 3)), ones(3), "wave"), "activation must be one of"),
        (
            pcacam_jax.Chain((pcacam_jax.Elementwise("tanh", 2), pcacam_jax.Elementwise("tanh", 3))),
            "do not fit together",
        ),
        (pcacam_jax.Flatten((2,)), r"Flatten\.shape must be tuple; got tuple"),
        (pcacam_jax.PairwiseMargins(1), "classes must be 2 to"),
    ],
)
def test_stages_that_cannot_be_saved_are_rejected(stage, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence) as error:
        save(tmp_path / "a.safetensors", stage)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
    assert list(tmp_path.iterdir()) == []


def test_the_file_has_the_mode_of_other_files(tmp_path):
    save(tmp_path / "a.safetensors", pcacam_jax.Flatten((2, 2, 3)))
    (tmp_path / "b").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_the_path_of_a_folder_is_rejected(tmp_path):
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(InputError, match=r"is a folder; give the path of a file in it"):
            save(folder, cases.case("PCA", "float32")[0])
    assert list(tmp_path.iterdir()) == []


def test_two_arrays_of_one_name_are_rejected(tmp_path):
    head = cases.network().head
    expansion = head.svms["svm_rbf"].pairs
    clash = dataclasses.replace(head, svms={**head.svms, "svm_rbf.pairs": expansion})
    with pytest.raises(InputError, match=r"would both be named svms\.svm_rbf\.pairs\..*; rename one"):
        save(tmp_path / "a.safetensors", clash)


def test_a_write_that_fails_leaves_the_old_file(valid_file, monkeypatch):
    path, content = valid_file

    def half(arrays, place, metadata):
        place.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.numpy, "save_file", half)
    with pytest.raises(OSError, match="disk full"):
        save(path, cases.case("PCA", "float32")[0])
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_reading_needs_neither_scikit_learn_nor_flax(tmp_path):
    network = cases.network()
    save(tmp_path / "head.safetensors", network.head)
    np.save(tmp_path / "maps.npy", network.maps)
    script = """
import sys
import numpy as np
from pcacam_jax import explain
from pcacam_jax.serialization import store
head = store.restore("head.safetensors")
explained = explain(head, np.load("maps.npy"), ["pca", "svm_rbf:predicted"])
assert explained.signed.shape == (7, 4, 3, 4)
loaded = {"sklearn", "flax"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, cwd=tmp_path)


def test_all_stages_can_be_saved_under_the_names_of_their_classes():
    classes = schema.STORABLE_CLASSES
    assert {name: cls.__name__ for name, cls in classes.items()} == {name: name for name in classes}
    assert {"Affine", "Chain", "Dense", "HybridHead", "KernelExpansion", "Parallel", "Take"} <= set(classes)
    assert {type(cases.case(name, "float32")[0]) for name in cases.NAMES} <= set(classes.values())

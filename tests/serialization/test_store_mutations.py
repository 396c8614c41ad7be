"""Damaged and forged files: each raises an InputError of one sentence, and none loads as another stage."""

import copy
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cases
from support.marks import more

from pcacam_jax import InputError
from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.serialization.store import restore, save

WRONG = (None, True, "waves", "", -1, 2**40, 10**30, 0.5, [], [1], {}, {"tuple": []}, {"dict": {}}, {"array": "x"})
"""Replacements for a value; those that make another valid stage are skipped, see :func:`remains_valid`."""


PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "save_and_load.md"
MANY = 3000
"""The number of rejected files in the documentation."""
LEAST = {
    ("damaged", "SVM rbf, margins"): 225, ("damaged", "trunk"): 225, ("damaged", "ovr"): 110, ("damaged", "head"): 240,
    ("structures", "SVM rbf, margins"): 340, ("structures", "trunk"): 650, ("structures", "ovr"): 50,
    ("structures", "head"): 1100,
    ("arrays", "SVM rbf, margins"): 40, ("arrays", "trunk"): 40, ("arrays", "head"): 180,
}  # fmt: skip
"""The least number of different files that each test must reject; it varies with the versions written to a file."""


def test_the_documentation_gives_the_number_of_files():
    assert sum(LEAST.values()) > MANY
    assert f"more than {MANY:,} different damaged and forged files" in " ".join(PAGE.read_text().split())


def error_message(path):
    """The error message for a file, None if it loads."""
    try:
        restore(path)
    except InputError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert sentence.endswith(".")
        assert len(sentence) < 1000
        return sentence
    return None


def same(got, expected):
    return jax.tree.structure(got) == jax.tree.structure(expected) and all(
        leaf.dtype == other.dtype and np.asarray(leaf).tobytes() == np.asarray(other).tobytes()
        for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True)
    )


def bytes_of_a(stage, path):
    save(path, stage)
    return path.read_bytes()


def small_head():
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32"), cases.network().head)


@pytest.fixture(scope="module")
def stages():
    vector_stages = {name: cases.case(name, "float32")[0] for name in ("SVM rbf, margins", "trunk", "ovr")}
    return {**vector_stages, "head": small_head()}


def damaged(content, random):
    """Yield (description, bytes): bits flipped in each region, and bytes cut off, inserted, removed or repeated."""
    header = 8 + int.from_bytes(content[:8], "little")
    regions = {"length": (0, 8), "header": (8, header), "data": (header, len(content))}
    for region, (start, stop) in regions.items():
        for place in random.integers(start, stop, 25) if stop > start else ():
            changed = bytearray(content)
            changed[place] ^= 1 << random.integers(8)
            yield f"a bit of the {region} at {place}", bytes(changed)
    for length in {0, 1, 7, 8, 9, header - 1, header, len(content) - 1, *random.integers(0, len(content), 20)}:
        yield f"cut at {length}", content[:length]
    for place in random.integers(0, len(content), 8):
        yield f"a byte inserted at {place}", content[:place] + b"\x00" + content[place:]
        yield f"a byte removed at {place}", content[:place] + content[place + 1 :]
        yield f"not UTF-8 at {place}", content[:place] + b"\xff\xfe" + content[place + 2 :]
    yield "repeated", content + content
    yield "bytes appended", content + b"more"
    yield "zeros", bytes(len(content))
    for declared in (2**63, 2**64 - 1, 10**8, 100 * 2**20, len(content)):
        yield f"a header of {declared} bytes", declared.to_bytes(8, "little") + content[8:]


def with_header(content, header):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    length = 8 + int.from_bytes(content[:8], "little")
    return len(text).to_bytes(8, "little") + text + content[length:]


def forged_headers(content):
    """Yield (description, bytes): edits of the header of the safetensors format, with the digest unchanged."""
    text = content[8 : 8 + int.from_bytes(content[:8], "little")]
    header = json.loads(text)
    names = [name for name in header if name != "__metadata__"]
    for name in names[:4]:
        for key, values in {
            "dtype": ("F64", "F16", "I32", "BF16", "BOOL", "X", 3, None),
            "shape": ([1], [], [2**40, 2**40], [-1], "x", [1.5]),
            "data_offsets": ([0, 4], [4, 0], [0, 2**62], [-4, 0], [0], "x"),
        }.items():
            for value in values:
                if header[name][key] != value:
                    yield (
                        f"{name}.{key} = {value}",
                        with_header(content, {**header, name: {**header[name], key: value}}),
                    )
        yield f"{name} gone", with_header(content, {key: value for key, value in header.items() if key != name})
        renamed = {f"{key}x" if key == name else key: value for key, value in header.items()}
        yield f"{name} renamed", with_header(content, renamed)
    for first, second in itertools.pairwise(names):
        swapped = {**header, first: header[second], second: header[first]}
        yield f"{first} and {second} swapped", with_header(content, swapped)
    metadata = header["__metadata__"]
    for key in metadata:
        yield f"metadata {key} empty", with_header(content, {**header, "__metadata__": {**metadata, key: ""}})
        yield f"metadata {key} a number", with_header(content, {**header, "__metadata__": {**metadata, key: 3}})
    yield "no metadata", with_header(content, {name: header[name] for name in names})
    for forged in (b"", b"{", b"null", b"[]", b"[" * 10**5, b'{"a":' * 10**5, b"\xff" * 20, text + b"x"):
        yield f"the header {forged[:9]!r}...", with_header(content, forged)


@pytest.mark.parametrize("name", ["SVM rbf, margins", "trunk", "ovr", "head"])
def test_damaged_files_are_rejected(name, stages, tmp_path):
    content = bytes_of_a(stages[name], tmp_path / "a.safetensors")
    random = np.random.default_rng(0)
    rejected = set()
    for what, changed in itertools.chain(damaged(content, random), forged_headers(content)):
        (tmp_path / "b.safetensors").write_bytes(changed)
        # Some edits do not change the content, such as one in the padding of the header or a swap of two empty arrays.
        if error_message(tmp_path / "b.safetensors") is not None:
            rejected.add(changed)
        else:
            assert same(restore(tmp_path / "b.safetensors"), stages[name]), what
    assert len(rejected) >= LEAST["damaged", name]


def places(value, path=()):
    """Yield the path to every value of plain data."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def changed(structure, path, new):
    if not path:
        return new
    structure = copy.deepcopy(structure)
    at(structure, path[:-1])[path[-1]] = new
    return structure


def without(structure, path):
    structure = copy.deepcopy(structure)
    del at(structure, path[:-1])[path[-1]]
    return structure


def remains_valid(old, new):
    """Whether a replacement gives the same stage or another valid one."""
    free_text = isinstance(old, str) and isinstance(new, str)
    return old == new or free_text or (isinstance(old, bool) and isinstance(new, bool))


def forged_structures(structure, few):
    """Yield (description, JSON): values replaced, removed or wrapped, at ``few`` places if there are more."""
    all_places = [path for path in places(structure) if path]
    for path in all_places if len(all_places) <= few else [all_places[i] for i in spread(len(all_places), few)]:
        old = at(structure, path)
        for new in WRONG:
            if not remains_valid(old, new):
                yield f"{path} = {new}", json.dumps(changed(structure, path, new))
        for wrapped in ({"tuple": [old]}, {"dict": {"a": old}}, [old], {"part": "Chain", "fields": {"stages": old}}):
            yield f"{path} in {list(wrapped)[:1]}", json.dumps(changed(structure, path, wrapped))
        yield f"{path} gone", json.dumps(without(structure, path))
        if isinstance(old, dict):
            yield f"{path} with more", json.dumps(changed(structure, path, {**old, "more": 1}))


def spread(count, few):
    return sorted(set(np.linspace(0, count - 1, few).astype(int)))


@pytest.mark.parametrize(("name", "few"), [("SVM rbf, margins", 50), more("trunk", 99), more("ovr", 99), ("head", 60)])
def test_forged_structures_are_rejected(name, few, stages, tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, stages[name])
    arrays, metadata = read_arrays(path)
    structure = json.loads(metadata["structure"])
    rejected = set()
    for what, text in forged_structures(structure, few):
        write_arrays(path, arrays, metadata | {"structure": text})
        assert error_message(path) is not None, what
        rejected.add(text)
    assert len(rejected) >= LEAST["structures", name]


def deep(levels):
    return '{"part":"Chain","fields":{"stages":{"tuple":[' * levels + "1" + "]}}}" * levels


@pytest.mark.parametrize(
    "structure",
    [
        "", "{", "null", "3", "NaN", '"a word"', "[1]", "{}", "\ufeff{}", "9" * 5000, "[" * 10**5,
        "[" * 900 + "]" * 900,
        deep(20), deep(40), deep(20_000), '{"tuple":[]}', '{"dict":{}}', '{"array":"kernel"}',
        '{"part":"Popen","fields":{}}', '{"part":"OvrDecision","fields":{"classes":Infinity}}',
        '{"part":"OvrDecision","fields":{"classes":3},"fields":{"classes":4}}',
        '{"part":"OvrDecision","fields":{"classes":3,"classes":4}}', '{"part":["OvrDecision"],"fields":{"classes":3}}',
        '{"part":"PairwiseMargins","fields":{"classes":100000}}',
        '{"part":"Elementwise","fields":{"name":"tanh","size":0}}',
        '{"part":"Flatten","fields":{"shape":{"tuple":[100000,100000,3]}}}',
        '{"part":"MaxPool","fields":{"shape":{"tuple":[1,1,3]}}}',
        '{"part":"Take","fields":{"indices":{"tuple":[0,3]},"size":3}}',
        '{"part":"Take","fields":{"indices":{"tuple":[-1]},"size":3}}',
        '{"part":"Take","fields":{"indices":{"tuple":[]},"size":3}}',
        '{"part":"Normalise","fields":{"norm":"l3","size":3}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("schema", ["1", "3"])
def test_invalid_structures_are_rejected(structure, schema, tmp_path):
    write_arrays(tmp_path / "a.safetensors", {}, {"schema": schema, "structure": structure})
    assert error_message(tmp_path / "a.safetensors") is not None


def forged_arrays(arrays):
    """Yield (description, arrays): arrays of another shape or dtype, not finite, missing, or added."""
    for name, array in arrays.items():
        others = {
            "flat": array.reshape(-1),
            "one more axis": array[None],
            "transposed": array.T,
            "one short": array[:-1] if array.ndim else array.reshape(1),
            "first only": array[:1] if array.ndim else array,
            "empty": array[:0] if array.ndim else np.zeros((0,), array.dtype),
            "integers": array.astype(np.int32),
            "booleans": array > 0,
            "NaN": np.full_like(array, np.nan),
            "infinite": np.full_like(array, -np.inf),
            "beyond float32": np.full(array.shape, 1e300),
        }
        for what, other in others.items():
            if (other.shape, other.dtype) != (array.shape, array.dtype) or not np.isfinite(other).all():
                yield f"{name} {what}", {**arrays, name: other}
        yield f"{name} gone", {key: value for key, value in arrays.items() if key != name}
    yield "one too many", {**arrays, "extra": np.ones(3, np.float32)}


@pytest.mark.parametrize("name", ["SVM rbf, margins", "trunk", "head"])
def test_forged_arrays_are_rejected(name, stages, tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, stages[name])
    arrays, metadata = read_arrays(path)
    rejected = set()
    for what, other in forged_arrays(arrays):
        write_arrays(path, other, metadata)
        assert error_message(path) is not None, what
        rejected.add(path.read_bytes())
    assert len(rejected) >= LEAST["arrays", name]


def test_a_head_with_inconsistent_names_is_rejected(stages, tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, stages["head"])
    arrays, metadata = read_arrays(path)
    structure = json.loads(metadata["structure"])
    names = structure["fields"]["names"]["tuple"]
    others = {
        "an output twice": [*names, names[0]],
        "an output less": names[:-1],
        "an output of another name": [{"tuple": ["dnn", names[0]["tuple"][1]]}, *names[1:]],
        "outputs in another order": [names[1], names[0], *names[2:]],
        "a class less": [{"tuple": ["cnn", {"tuple": ["a", "b", "c"]}]}, *names[1:]],
        "a class twice": [{"tuple": ["cnn", {"tuple": ["a", "b", "c", "c"]}]}, *names[1:]],
    }
    for what, other in others.items():
        text = json.dumps(changed(structure, ("fields", "names", "tuple"), other))
        write_arrays(path, arrays, metadata | {"structure": text})
        assert error_message(path) is not None, what
    spaces = {"tuple": [{"tuple": ["svm_none", "proba"]}]}
    text = json.dumps(changed(structure, ("fields", "spaces"), spaces))
    write_arrays(path, arrays, metadata | {"structure": text})
    assert error_message(path) is not None


def test_another_notation_of_the_same_content_loads_the_same_stage(stages, tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, stages["head"])
    arrays, metadata = read_arrays(path)
    text = json.dumps(json.loads(metadata["structure"]), indent=4)
    write_arrays(path, dict(reversed(arrays.items())), metadata | {"structure": text, "note": "mine"})
    assert same(restore(path), stages["head"])

"""Files that the library wrote are recognised until they are changed."""

import json
import shutil

import numpy as np
import pytest
from matplotlib.figure import Figure

from pcacam_jax import Flatten, InputError, plots, save
from pcacam_jax.core import written
from pcacam_jax.core.array_file import write_arrays
from pcacam_jax.core.written import KINDS, check_output, is_replaceable, is_written_here, sealed

WRITERS = {
    "figure": lambda path: plots.save(Figure(), path),
    "maps": lambda path: written.write_sealed_arrays(path, {"a": np.arange(3), "b": np.array(["x", "é"])}),
    "explanation": lambda path: written.write_sealed_json(path, {"mixture": {"é": 0.1}}),
    "certificate": lambda path: written.write_sealed_json(path, {"comparisons": [{"error": 1e-7}]}),
    "reproduction": lambda path: written.write_sealed_json(path, {"claims": {}}),
    "page": lambda path: written.write_sealed_text(path, "# Title\n\udce9 text\n"),
    "stage": lambda path: save(path, Flatten((1, 2, 3))),
}
SUFFIXES = {"figure": ".png", "maps": ".npz", "page": ".md", "stage": ".safetensors"}


@pytest.fixture(params=KINDS)
def file(request, tmp_path):
    """Return a kind and a file of this kind."""
    path = tmp_path / f"file{SUFFIXES.get(request.param, '.json')}"
    WRITERS[request.param](path)
    return request.param, path


def test_every_kind_is_recognised_as_itself_only(file):
    kind, path = file
    assert [other for other in KINDS if is_written_here(path, other)] == [kind]
    assert is_written_here(path)
    check_output(path, kind, remedy="")
    with pytest.raises(InputError, match="exists, and it is not"):
        check_output(path, "page" if kind == "figure" else "figure", remedy="move it")


def test_a_copy_of_any_name_is_recognised(file):
    kind, path = file
    assert is_written_here(shutil.copy(path, path.with_name("renamed")), kind)


def test_a_changed_file_is_not_recognised(file):
    kind, path = file
    if kind == "stage":  # the digest of its content is compared when it is read
        return
    if kind == "maps":
        with np.load(path) as arrays:
            np.savez_compressed(path, **{**arrays, "a": arrays["a"] + 1})
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert not is_written_here(path)


def test_a_key_that_a_user_added_counts_as_a_change(tmp_path):
    path = tmp_path / "a.json"
    written.write_sealed_json(path, {"mixture": {}})
    path.write_text(json.dumps({**json.loads(path.read_text()), "note": "mine"}))
    assert not is_written_here(path)
    assert sealed(sealed({"a": 1})) == sealed({"a": 1})


def foreign_files(folder):
    Figure().savefig(folder / "a.png")
    np.savez(folder / "a.npz", a=np.ones(2))
    np.savez(folder / "object.npz", a=np.array([{}], object))
    write_arrays(folder / "other.safetensors", {"a": np.ones(2)})
    (folder / "a.json").write_text('{"mixture": {}}')
    (folder / "list.json").write_text("[1]")
    (folder / "a.md").write_text("# Mine\n")
    for name, content in {"a": b"\x89PNG", "b": b"PK", "c": b"{", "d": b"\xff" * 8 + b"{", "e": b"\xff\xfe"}.items():
        (folder / name).write_bytes(content)


def test_other_files_are_not_recognised(tmp_path):
    foreign_files(tmp_path)
    assert not [path.name for path in tmp_path.iterdir() if is_replaceable(path)]
    assert not is_replaceable(tmp_path)
    assert not is_replaceable(tmp_path / "missing")


def test_an_empty_file_may_be_replaced_but_is_not_ours(tmp_path):
    (tmp_path / "empty.png").touch()
    assert is_replaceable(tmp_path / "empty.png")
    assert not is_written_here(tmp_path / "empty.png")


def test_a_sealed_figure_is_a_valid_png_with_equal_bytes(tmp_path):
    from PIL import Image

    for name in ("a.png", "b.png"):
        plots.save(Figure(), tmp_path / name)
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.info["pcacam_jax"].startswith("sha256 ")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_name_that_is_too_long_raises_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"cannot be used as a path .File name too long"):
        plots.save(Figure(), tmp_path / f"{'x' * 300}.png")

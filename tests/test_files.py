"""Files are whole or absent, and a digest changes with whatever changes."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from pcacam_jax import InputError
from pcacam_jax.files import (
    cache_folder,
    digest,
    folder_written_whole,
    read_json,
    writable_folder,
    write_json,
    written_whole,
)

MARKER = "run.json"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(path):
    path.write_text("half")
    raise OSError("disk full")


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "deep" / "er" / "a.json"
    with written_whole(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (path.parent, ".json")
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names_in(path.parent) == ["a.json"]


def test_a_file_that_fails_midway_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), written_whole(path) as temporary:
        fill(temporary)
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_and_folders_obey_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        with written_whole(tmp_path / "a.txt") as temporary:
            temporary.write_text("a")
        with folder_written_whole(tmp_path / "run", marker=MARKER):
            pass
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o777 & ~mask


def write_run(folder, text):
    with folder_written_whole(folder, marker=MARKER) as temporary:
        assert temporary.parent == folder.parent
        (temporary / MARKER).write_text(text)
        (temporary / text).mkdir()


def test_a_folder_replaces_nothing_but_an_earlier_run(tmp_path):
    folder = tmp_path / "new" / "run"
    for text in ("first", "second"):
        write_run(folder, text)
        assert names_in(folder) == sorted([MARKER, text])
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "empty", "first")
    assert names_in(tmp_path) == ["empty", "new"]


def test_a_folder_with_other_content_is_refused(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    with pytest.raises(InputError, match=r"holds other files \(no run\.json\); choose a new or empty folder"):
        write_run(tmp_path / "thesis", "first")
    with pytest.raises(InputError, match="is a file; choose a folder"):
        write_run(tmp_path / "thesis" / "chapter.tex", "first")
    assert names_in(tmp_path / "thesis") == ["chapter.tex"]
    assert names_in(tmp_path) == ["thesis"]


def test_a_folder_that_fails_midway_leaves_the_old_one(tmp_path):
    write_run(tmp_path / "run", "first")
    with (
        pytest.raises(OSError, match="disk full"),
        folder_written_whole(tmp_path / "run", marker=MARKER) as temporary,
    ):
        fill(temporary / "half")
    assert names_in(tmp_path / "run") == ["first", MARKER]
    assert names_in(tmp_path) == ["run"]


def test_a_swap_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    write_run(tmp_path / "run", "first")
    replace, calls = Path.replace, []

    def second_fails(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("disk full")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", second_fails)
    with pytest.raises(OSError, match="disk full"), folder_written_whole(tmp_path / "run", marker=MARKER) as temporary:
        (temporary / "second").mkdir()
    assert len(calls) == 3
    assert names_in(tmp_path / "run") == ["first", MARKER]
    assert names_in(tmp_path) == ["run"]


def test_a_folder_reached_by_a_link_is_replaced_where_it_is(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    write_run(tmp_path / "link", "first")
    assert (tmp_path / "link").is_symlink()
    assert names_in(tmp_path / "disk") == sorted([MARKER, "first"])


def test_a_folder_that_cannot_be_written_to_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written to \(.*\); choose another or"):
        writable_folder(tmp_path / "file" / "below")
    with pytest.raises(InputError, match="cannot be written to"):
        write_json(tmp_path / "file" / "a.json", {})
    assert names_in(writable_folder(tmp_path / "a" / "b")) == []


def test_json_there_and_back(tmp_path):
    value = {"a": [1, 2.5, None], "ä": {"b": True}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"array": np.ones(2)})
    assert json.loads((tmp_path / "a.json").read_text()) == value
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(InputError, match=r"b.json is not JSON .*write it again"):
        read_json(tmp_path / "b.json")
    with pytest.raises(InputError, match=r"c.json cannot be read .No such file"):
        read_json(tmp_path / "c.json")


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PCACAM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "pcacam_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "pcacam_jax"
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert names_in(tmp_path) == []


ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "other",
    [
        {"b": ARRAY},
        {"a": ARRAY.astype(np.float64)},
        {"a": ARRAY.view(np.int32)},
        {"a": ARRAY.reshape(3, 2)},
        {"a": ARRAY[None]},
        {"a": ARRAY[::-1]},
        {"a": np.nextafter(ARRAY, np.float32(9))},
        {"a": ARRAY, "b": np.zeros(0)},
        {},
    ],
)
def test_digest_tells_apart(other):
    assert digest(other) != digest({"a": ARRAY})


@pytest.mark.parametrize(
    "same",
    [
        ARRAY.astype(">f4"),
        ARRAY.copy(order="F"),
        np.repeat(ARRAY, 2, axis=1)[:, ::2],
    ],
)
def test_digest_does_not_depend_on_the_layout_in_memory(same):
    assert digest({"a": same}) == digest({"a": ARRAY})


def test_digest_takes_every_shape_and_order():
    assert digest({"a": ARRAY, "b": ARRAY[0]}) == digest({"b": ARRAY[0], "a": ARRAY})
    values = [np.float32(1), np.ones((), np.float64), np.ones(1), np.zeros((0, 2)), np.zeros(0), np.array(True)]
    assert len({digest({"a": value}) for value in values}) == len(values)
    assert digest({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

"""Atomic writes leave the old or the new version, and a digest changes with every change of the arrays."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from pcacam_jax import InputError
from pcacam_jax.core import files
from pcacam_jax.core.files import (
    atomic_folder,
    atomic_write,
    cache_folder,
    digest,
    read_json,
    writable_folder,
    write_json,
)

MARKER = "run.json"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(path):
    path.write_text("half")
    raise OSError("disk full")


def test_a_file_appears_only_after_the_block(tmp_path):
    path = tmp_path / "deep" / "er" / "a.json"
    with atomic_write(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (path.parent, ".json")
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names_in(path.parent) == ["a.json"]


def test_a_file_that_fails_midway_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), atomic_write(path) as temporary:
        fill(temporary)
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_modes_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "a.txt") as temporary:
            temporary.write_text("a")
        with atomic_folder(tmp_path / "run", marker=MARKER):
            pass
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o777 & ~mask


def test_a_mode_set_by_the_writer_is_replaced(tmp_path):
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.touch(mode=0o600)
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def write_run(folder, text):
    with atomic_folder(folder, marker=MARKER) as temporary:
        assert temporary.parent == folder.parent
        (temporary / MARKER).write_text(text)
        (temporary / text).mkdir()


def test_a_folder_replaces_an_earlier_run_or_an_empty_folder(tmp_path):
    folder = tmp_path / "new" / "run"
    for text in ("first", "second"):
        write_run(folder, text)
        assert names_in(folder) == sorted([MARKER, text])
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "empty", "first")
    assert names_in(tmp_path) == ["empty", "new"]


def test_a_folder_with_other_content_is_rejected(tmp_path):
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
        atomic_folder(tmp_path / "run", marker=MARKER) as temporary,
    ):
        fill(temporary / "half")
    assert names_in(tmp_path / "run") == ["first", MARKER]
    assert names_in(tmp_path) == ["run"]


def test_a_failed_rename_restores_the_old_folder(tmp_path, monkeypatch):
    write_run(tmp_path / "run", "first")
    replace, calls = Path.replace, []

    def second_fails(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("disk full")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", second_fails)
    with pytest.raises(OSError, match="disk full"), atomic_folder(tmp_path / "run", marker=MARKER) as temporary:
        (temporary / "second").mkdir()
    assert len(calls) == 3
    assert names_in(tmp_path / "run") == ["first", MARKER]
    assert names_in(tmp_path) == ["run"]


def test_a_folder_that_another_process_filled_meanwhile_is_not_replaced(tmp_path):
    chapter = tmp_path / "run" / "chapter.tex"
    with (
        pytest.raises(InputError, match=r"holds other files \(no run\.json\)"),
        atomic_folder(chapter.parent, marker=MARKER),
    ):
        write_json(chapter, "years")
    assert names_in(tmp_path / "run") == ["chapter.tex"]
    assert names_in(tmp_path) == ["run"]


KILLED = """
import os, signal, sys
from pathlib import Path
from pcacam_jax.core.files import atomic_folder

folder, renames = Path(sys.argv[1]), int(sys.argv[2])
replace = Path.replace

def replace_or_die(self, target):
    global renames
    if not renames:
        os.kill(os.getpid(), signal.SIGKILL)
    renames -= 1
    return replace(self, target)

Path.replace = replace_or_die
with atomic_folder(folder, marker="run.json") as temporary:
    (temporary / "run.json").write_text("killed")
    (temporary / "killed").mkdir()
"""


@pytest.mark.parametrize(("renames", "left"), [(0, "first"), (1, None), (2, "killed")])
def test_leftovers_of_a_killed_process_are_removed_by_the_next_one(tmp_path, renames, left):
    folder = tmp_path / "run[1]"
    write_run(folder, "first")
    (tmp_path / ".run[1].20240101").mkdir()  # a folder of the user with a similar name
    ended = subprocess.run([sys.executable, "-c", KILLED, folder, str(renames)], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert len(names_in(tmp_path)) > 2
    assert (folder / MARKER).read_text() == left if left else not folder.exists()
    with pytest.raises(OSError, match="disk full"), atomic_folder(folder, marker=MARKER) as temporary:
        fill(temporary / "half")
    assert names_in(folder) == [left or "first", MARKER]
    assert names_in(tmp_path) == [".run[1].20240101", "run[1]"]


def test_the_temporary_folder_of_a_running_process_is_not_removed(tmp_path):
    with atomic_folder(tmp_path / "run", marker=MARKER) as temporary:
        (temporary / MARKER).write_text("slow")
        write_run(tmp_path / "run", "quick")
        assert (temporary / MARKER).read_text() == "slow"
    assert names_in(tmp_path / "run") == [MARKER]
    assert names_in(tmp_path) == ["run"]


def test_without_file_locks_no_leftovers_are_removed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    (tmp_path / ".run.0a1b2c3d").mkdir()
    (tmp_path / ".run.0a1b2c3d.lock").touch()
    write_run(tmp_path / "run", "first")
    assert names_in(tmp_path) == [".run.0a1b2c3d", ".run.0a1b2c3d.lock", "run"]


def test_the_last_of_two_concurrent_writers_wins(tmp_path, monkeypatch):
    folder, replace = tmp_path / "run", Path.replace
    first, ended = threading.Event(), threading.Event()

    def wait_for_the_other(self, target):
        if not first.is_set():
            first.set()
            ended.wait(0.5)  # times out if the other writer waits for the lock
        return replace(self, target)

    def other():
        with atomic_folder(folder, marker=MARKER) as temporary:
            (temporary / MARKER).write_text("other")
            first.wait(10)
        ended.set()

    monkeypatch.setattr(Path, "replace", wait_for_the_other)
    thread = threading.Thread(target=other)
    thread.start()
    write_run(folder, "first")
    thread.join(10)
    assert (folder / MARKER).read_text() == "other"
    assert names_in(tmp_path) == ["run"]


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    write_run(tmp_path / "link", "first")
    assert (tmp_path / "link").is_symlink()
    assert names_in(tmp_path / "disk") == sorted([MARKER, "first"])


def test_a_folder_that_is_not_writable_raises_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written to \(.*\); choose another or"):
        writable_folder(tmp_path / "file" / "below")
    with pytest.raises(InputError, match="cannot be written to"):
        write_json(tmp_path / "file" / "a.json", {})
    assert names_in(writable_folder(tmp_path / "a" / "b")) == []


def test_json_round_trip(tmp_path):
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
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"
    monkeypatch.setenv("PCACAM_CACHE", "~/chosen")
    assert cache_folder() == tmp_path / "chosen"
    monkeypatch.delenv("PCACAM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/xdg")
    assert cache_folder() == tmp_path / "xdg" / "pcacam_jax"
    assert names_in(tmp_path) == []


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Make the home folder a file, to which nothing can be written, and return the folder for temporary files."""
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("PCACAM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    files._warn_once.cache_clear()
    return tmp_path / "temporary"


def test_without_a_writable_home_the_cache_is_a_folder_of_this_user(temporary, monkeypatch):
    with pytest.warns(UserWarning, match=r"the cache cannot be written to in .*home.*; set PCACAM_CACHE"):
        folder = cache_folder()
    assert cache_folder() == folder == temporary / f"pcacam_jax-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # neither HOME nor the password database names one
    with pytest.warns(UserWarning, match="needs a home folder, and there is none"):
        assert cache_folder() == folder


@pytest.mark.parametrize("occupied", ["a link", "a file", "another user"])
def test_a_temporary_cache_of_somebody_else_is_not_used(temporary, tmp_path, monkeypatch, occupied):
    folder = temporary / f"pcacam_jax-{os.getuid()}"
    if occupied == "a link":
        folder.symlink_to(tmp_path)
    elif occupied == "a file":
        folder.touch()
    else:
        folder.mkdir()
        user = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
        folder.rename(temporary / f"pcacam_jax-{user + 1}")
    with pytest.raises(InputError, match="set PCACAM_CACHE"):
        cache_folder()


def test_a_cache_that_can_only_be_read_is_read(temporary, tmp_path, monkeypatch):
    assert cached_file_without_warning("a") is None
    (temporary / f"pcacam_jax-{os.getuid()}" / "a").touch()
    assert cached_file_without_warning("a").parent.parent == temporary
    monkeypatch.setattr(files, "_default_cache", lambda: tmp_path / "default")
    monkeypatch.setattr(files, "_is_writable", lambda folder: False)
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "b").touch()
    assert cached_file_without_warning("b") == tmp_path / "default" / "b"


def cached_file_without_warning(name):
    files._warn_once.cache_clear()
    with pytest.warns(UserWarning, match="is used instead"):
        return files.cached_file(name)


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
def test_digest_depends_on_names_dtypes_shapes_and_values(other):
    assert digest(other) != digest({"a": ARRAY})


@pytest.mark.parametrize("same", [ARRAY.astype(">f4"), ARRAY.copy(order="F"), np.repeat(ARRAY, 2, axis=1)[:, ::2]])
def test_digest_does_not_depend_on_the_layout_in_memory(same):
    assert digest({"a": same}) == digest({"a": ARRAY})


def test_digest_covers_every_shape_and_ignores_the_order_of_names():
    assert digest({"a": ARRAY, "b": ARRAY[0]}) == digest({"b": ARRAY[0], "a": ARRAY})
    values = [np.float32(1), np.ones((), np.float64), np.ones(1), np.zeros((0, 2)), np.zeros(0), np.array(True)]
    assert len({digest({"a": value}) for value in values}) == len(values)
    assert digest({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

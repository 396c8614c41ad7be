"""Paths as users write them."""

import os
from pathlib import Path

import pytest

from pcacam_jax import InputError
from pcacam_jax.core.paths import identities, printable, user_path


@pytest.mark.parametrize("path", ["~/a/b", Path("~/a/b"), b"~/a/b"])
def test_the_home_folder_is_expanded(tmp_path, monkeypatch, path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path(path) == tmp_path / "a" / "b"


@pytest.mark.parametrize("path", ["a/~/b", "a~", "./~", "/~/a", "~$scan.png"])
def test_other_tildes_stay(path):
    assert user_path(path) == Path(path)


def test_an_unknown_home_folder_raises(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(InputError, match=r"the home folder ~ is unknown.; write it in full, or set HOME"):
        user_path("~/a")


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("", "must name a file or folder, but it is an empty text"),
        ("a\0b", "cannot be used as a path .embedded null byte"),
        ("x" * 5000, "cannot be used as a path .File name too long"),
        ("~no_such_user_here/a", "cannot be used as a path"),
        (3, "must be text or a Path, but it is a int"),
        (None, "it is a NoneType"),
    ],
)
def test_what_is_no_path_raises(path, pattern):
    with pytest.raises(InputError, match=pattern):
        user_path(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"a b.jpg", "a b.jpg"),
        ("猫é.jpg".encode(), "猫é.jpg"),
        (b"caf\xe9.jpg", r"caf\xe9.jpg"),
        (b"two\nlines\x1b[31m", r"two\nlines\x1b[31m"),
    ],
)
def test_names_are_printable_on_one_line(name, text):
    assert printable(os.fsdecode(name)) == text
    text.encode()


def test_links_have_an_identity_in_common(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("a")
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    (tmp_path / "soft").symlink_to(tmp_path / "a")
    (tmp_path / "dangling").symlink_to(tmp_path / "new")
    a = identities([tmp_path / "a"])
    for name in ("a", "hard", "soft", "x/../a"):
        assert a & identities([tmp_path / name]), name
    assert not a & identities([tmp_path / "b"])
    assert identities([tmp_path / "dangling"]) & identities([tmp_path / "new"])

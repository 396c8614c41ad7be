"""Blood-MNIST in the folder of the package medmnist, and the download by that package, which is mocked."""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import medmnist_source, read_dataset, read_paper_set

LABELS = (np.arange(24) % 8).astype(np.uint8)[:, None]

# As in medmnist 3: INFO is always available, the readers only with torch, and error messages have several lines
PACKAGE = """
INFO = {"bloodmnist": {"python_class": "BloodMNIST"}}
print("Please install the required packages first.")
"""
READER = """
import pathlib, shutil
class BloodMNIST:
    def __init__(self, split, *, root, download=False):
        if not pathlib.Path(root).is_dir():
            raise RuntimeError("Failed to setup the default `root` directory. ")
        target = pathlib.Path(root, "bloodmnist.npz")
        if download:
            target.write_bytes(b"half")
            if not pathlib.Path(SOURCE).is_file():
                raise RuntimeError("\\n  Automatic download failed! Please download bloodmnist.npz manually.\\n  1. ")
            shutil.copy(SOURCE, target)
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Use an empty home folder, without the package medmnist."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "medmnist", None)
    monkeypatch.setattr(medmnist_source, "PUBLISHED_MD5", {})
    (tmp_path / "home").mkdir()
    return Path(tmp_path / "home")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that installs a mock of the package medmnist."""

    def install(*text):
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "medmnist.py").write_text("\n".join([f"SOURCE = {str(tmp_path / 'source')!r}", *text]))
        monkeypatch.delitem(sys.modules, "medmnist")
        monkeypatch.syspath_prepend(tmp_path / "site")

    yield install
    sys.modules.pop("medmnist", None)


def write_file(path):
    path.parent.mkdir(exist_ok=True)
    arrays = {}
    for seed, split in enumerate(("train", "val", "test")):
        arrays[f"{split}_images"] = np.random.default_rng(seed).integers(0, 256, (24, 28, 28, 3), np.uint8)
        arrays[f"{split}_labels"] = LABELS
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return arrays


def test_the_file_in_the_folder_of_the_package_is_read(home):
    arrays = write_file(home / ".medmnist" / "bloodmnist.npz")
    dataset = read_paper_set("blood_mnist")
    assert dataset.class_names[:2] == ("basophil", "eosinophil")
    np.testing.assert_array_equal(dataset.train.pixels, arrays["train_images"])
    np.testing.assert_array_equal(dataset.test.pixels, arrays["test_images"])
    np.testing.assert_array_equal(dataset.test.labels, LABELS[:, 0])


def test_a_file_that_is_not_the_published_one_is_named(home, monkeypatch):
    path = home / ".medmnist" / "bloodmnist.npz"
    write_file(path)
    monkeypatch.setattr(medmnist_source, "PUBLISHED_MD5", {"bloodmnist": hashlib.md5(path.read_bytes()).hexdigest()})
    read_paper_set("blood_mnist")
    monkeypatch.setattr(medmnist_source, "PUBLISHED_MD5", {"bloodmnist": "0" * 32})
    with pytest.warns(
        UserWarning, match=r"bloodmnist\.npz is not the file that MedMNIST publishes: its MD5 should be 0"
    ):
        read_paper_set("blood_mnist")


def test_without_a_home_folder_the_message_says_so(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(InputError, match=r"'~' cannot be used as a path \(the home folder ~ is unknown"):
        read_paper_set("blood_mnist")


def test_a_missing_file_is_downloaded_once(home, package, tmp_path, capsys):
    arrays = write_file(tmp_path / "source")
    package(PACKAGE, READER)
    dataset = read_dataset("blood_mnist")
    np.testing.assert_array_equal(dataset.test.pixels, arrays["test_images"])
    assert [path.name for path in (home / ".medmnist").iterdir()] == ["bloodmnist.npz"]
    (tmp_path / "source").unlink()
    assert read_dataset("blood_mnist").test.fingerprint() == dataset.test.fingerprint()
    assert capsys.readouterr().out == ""


def test_a_failed_download_leaves_no_file_and_one_line_of_message(home, package):
    package(PACKAGE, READER)
    sentence = (
        r"medmnist cannot download bloodmnist\.npz \(Automatic download failed\); .* into ROOT/blood_mnist; name ROOT"
    )
    with pytest.raises(InputError, match=sentence) as raised:
        read_paper_set("blood_mnist")
    assert "\n" not in str(raised.value)
    assert list((home / ".medmnist").iterdir()) == []


@pytest.mark.parametrize("installed", [False, True])
def test_without_the_package_or_without_torch_the_message_says_what_to_do(home, package, tmp_path, capsys, installed):
    if installed:
        package(PACKAGE)
    sentence = rf"must be in {home}/\.medmnist, .* install \"pcacam_jax\[medmnist\]\" .* into {tmp_path}/blood_mnist\.$"
    with pytest.raises(InputError, match=sentence):
        read_paper_set("blood_mnist", tmp_path)
    assert capsys.readouterr().out == ""

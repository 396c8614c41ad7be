"""The command line, run in this process, and its input files."""

import shutil

import numpy as np
import pytest
from PIL import Image
from support.command_line import pcacam
from support.small_runs import CLASSES, pictures

__all__ = ["pcacam"]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.npz"
    images, labels = pictures(12, 0)
    np.savez(path, images=images, labels=np.array(CLASSES)[labels])
    return path


@pytest.fixture
def run(run_folder, tmp_path):
    return shutil.copytree(run_folder, tmp_path / "run")


@pytest.fixture
def images(tmp_path):
    """Return a grey, an RGBA and a corrupt image."""
    pixels = pictures(1, 5)[0]
    Image.fromarray(pixels[0].repeat(2, axis=0).repeat(2, axis=1)).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([pixels[1]] * 3 + [np.full((28, 28), 90, np.uint8)])).save(tmp_path / "rgba.png")
    (tmp_path / "corrupt.png").write_bytes((tmp_path / "grey.png").read_bytes()[:90])
    return {name: tmp_path / f"{name}.png" for name in ("grey", "rgba", "corrupt")}

"""Commands under other locales, encodings and home folders, and names that cannot be encoded."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import numpy as np
import pytest
from matplotlib.figure import Figure
from support import small_runs
from support.marks import more
from support.small_runs import QUICK, entries

from pcacam_jax import Flatten, cli, load, plots, restore, save
from pcacam_jax.cli import commands
from pcacam_jax.reproduce.gather import ReproductionRequest
from pcacam_jax.runs import make_run
from pcacam_jax.verification.certificate import Certificate, Comparison

TARGETS = ("--targets", "pca:0")
ROWS = tuple(Comparison("a map", dtype, "reverse", 1e-9, 1e-5) for dtype in ("float32", "float64"))
BYTES = b"caf\xe9 \n1.png"


@pytest.fixture
def quick(monkeypatch, fitted):
    """Let every command write its files without long computations."""
    monkeypatch.setattr(commands, "default_cases", lambda: iter(()))
    monkeypatch.setattr(commands, "certify", lambda cases, progress: Certificate(ROWS))
    monkeypatch.setattr(make_run, "fit", lambda *_, **__: fitted)
    monkeypatch.setattr(make_run, "draw_figures", lambda *_: ["figures/grid.png"])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return an empty working folder; the home folder is ``tmp_path``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


COMMANDS = {
    "demo": (["demo", "--out=~/new"], "new/config.json"),
    "fit": (["fit", "--data=~/data.npz", "--out=~/new", *QUICK], "new/config.json"),
    "explain": (["explain", "~/run", "~/grey.png", "--out=~/new", *TARGETS], "new/grey.json"),
    "explain a folder": (["explain", "~/run", "~/photos", "--out=~/new", *TARGETS], "new/grey.json"),
    "explain by default": (["explain", "~/run", "~/grey.png", *TARGETS], "run/explanations/grey.json"),
    "verify": (["verify", "--out=~/new/c.json"], "new/c.json"),
    "verify a run": (["verify", "~/run", "--out=~/new/c.json"], "new/c.json"),
    "reproduce": (["reproduce", "figure4", "--out=~/new"], "new/reproduction_figure4.md"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_expands_the_home_folder(pcacam, run, images, data, here, tmp_path, small_world, quick, command):
    (tmp_path / "photos").mkdir()
    shutil.copy(images["grey"], tmp_path / "photos")
    arguments, written = COMMANDS[command]
    code, _, stderr = pcacam(*arguments)
    assert code == 0, stderr
    assert (tmp_path / written).is_file()
    assert entries(here) == set()


def test_every_function_expands_the_home_folder(run, images, here, tmp_path, fitted, small_world):
    plots.save(Figure(), "~/new/a.png")
    save("~/new/a.safetensors", Flatten((1, 2, 3)))
    assert restore("~/new/a.safetensors") == Flatten((1, 2, 3))
    assert load("~/run").load_images("~/grey.png").shape == (1, 32, 32, 3)
    assert ReproductionRequest(out=Path("~/new"), scale="embedded").out == tmp_path / "new"
    assert entries(here) == set()
    assert entries(tmp_path / "new") == {"a.png", "a.safetensors"}


def run_with_encoding(monkeypatch, arguments, encoding):
    """Return the exit code and what the command printed to pipes of an encoding."""
    pipes = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", pipes[0])
    monkeypatch.setattr(sys, "stderr", pipes[1])
    monkeypatch.setattr(sys, "argv", ["pcacam", *map(str, arguments)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("warnings.showwarning", lambda *_: None)
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    for pipe in pipes:
        pipe.flush()
    return code, *(pipe.buffer.getvalue().decode(encoding) for pipe in pipes)


@pytest.mark.parametrize("encoding", ["cp1252", more("ascii"), more("utf-8")])
@pytest.mark.parametrize("name", ["猫.png".encode(), BYTES])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_names_outside_the_encoding_are_printed(
    run, images, tmp_path, small_world, monkeypatch, encoding, name, options
):
    image = tmp_path / os.fsdecode(name)
    shutil.copy(images["grey"], image)
    arguments = ["explain", run, image, "--out", tmp_path / "猫", *TARGETS, *options]
    code, out, err = run_with_encoding(monkeypatch, arguments, encoding)
    assert code == 0, err
    assert "Traceback" not in err
    if options:
        (report,) = json.loads(out)
        assert report["image"].endswith("猫.png" if name != BYTES else r"caf\xe9 \n1.png")
    elif name == BYTES:
        assert r"caf\xe9 \n1.png" in out
    code, out, err = run_with_encoding(monkeypatch, ["explain", run, tmp_path / "no 猫", *options], encoding)
    assert (code, out) == (2, "")
    assert err.startswith("pcacam: the image ")
    assert len(err.splitlines()) == 1


def test_a_name_that_is_not_utf8_is_described_reversibly(pcacam, run, images, tmp_path, small_world):
    image = tmp_path / os.fsdecode(BYTES)
    shutil.copy(images["grey"], image)
    assert pcacam("explain", run, image, *TARGETS)[0] == 0
    (path,) = (run / "explanations").glob("*.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    path.read_text(encoding="utf-8").encode("ascii")
    assert report["image"] == str(tmp_path / r"caf\xe9 \n1.png")
    assert unquote_to_bytes(urlsplit(report["image_uri"]).path) == os.fsencode(image)


@pytest.mark.parametrize("command", [(), ("demo",), ("fit",), ("explain",), ("verify",), ("reproduce",)])
def test_help_in_ascii(monkeypatch, command):
    code, out, err = run_with_encoding(monkeypatch, [*command, "--help"], "ascii")
    assert (code, err) == (0, "")
    assert "usage: pcacam" in out
    assert "None" not in out
    assert "STR" not in out
    assert "False" not in out


SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(small_runs.__file__).parents[1])!r})
from support.small_runs import random_params
from pcacam_jax import cli
from pcacam_jax.nets import weights
params = random_params()
weights.load = lambda path=None, **options: params
cli.main()
"""
ENVIRONMENTS = {
    "plain": {},
    "ascii, unknown home, strict promotion": {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "cp1252",
        "HOME": None,
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    },
    "float64": {"JAX_ENABLE_X64": "1"},
}


def process(folder, changes, *arguments):
    """Run a command as a process with an empty home folder, and without a cache folder of its own."""
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder), "XDG_CACHE_HOME": "", **changes}
    environment = {key: value for key, value in environment.items() if value is not None and key != "PCACAM_CACHE"}
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    ended = subprocess.run(command, env=environment, cwd=folder, capture_output=True, timeout=600)
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    assert b"Traceback" not in ended.stderr
    assert b"atplotlib" not in ended.stderr
    return ended


@pytest.mark.exhaustive
def test_the_main_job_gives_the_same_numbers_in_every_environment(tmp_path, data, images):
    """Fit where the home folder is a file, and explain elsewhere; only float64 changes numbers, by rounding."""
    image = shutil.copy(images["grey"], tmp_path / "猫.png")
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "file").touch()
    fitted = process(folder, {"HOME": str(tmp_path / "file")}, "fit", "--data", data, "--out", "run", *QUICK)
    assert fitted.stderr.count(b"set PCACAM_CACHE to choose a folder for it") == 1
    assert {name for name in entries(folder) if not name.startswith("matplotlib-")} == {
        "run",
        f"pcacam_jax-{os.getuid()}",
    }
    values = {}
    for name, changes in ENVIRONMENTS.items():
        ended = process(folder, changes, "explain", "run", image, "--out", name, "--json")
        values[name] = [row["value"] for row in json.loads(ended.stdout)[0]["targets"]]
    np.testing.assert_allclose(values.pop("float64"), values["plain"], rtol=1e-4)
    assert all(row == values["plain"] for row in values.values())

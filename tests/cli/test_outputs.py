"""No command and no function replaces an input, or a file that the library did not write, unless it is asked to."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from support.small_runs import QUICK, assert_input_error, entries, pictures

from pcacam_jax import Flatten, InputError, plots, save
from pcacam_jax.cli import commands
from pcacam_jax.runs import make_run
from pcacam_jax.verification.certificate import Certificate, Comparison

FOREIGN = b"a file of the user"


def _saved(call, path, force):
    try:
        call(path, overwrite=force)
    except InputError as error:
        return 2, "", f"pcacam: {error}\n"
    return 0, "", ""


def _plot(pcacam, folder, force):
    return _saved(lambda path, **options: plots.save(Figure(), path, **options), folder / "figure.png", force)


def _save(pcacam, folder, force):
    return _saved(lambda path, **options: save(path, Flatten((1, 2, 3)), **options), folder / "head.safetensors", force)


def _verify(pcacam, folder, force):
    return pcacam("verify", "--out", folder / "certificate.json", *["--force"] * force)


def _explain(pcacam, folder, force):
    image = folder.parent / "image.png"
    Image.fromarray(pictures(1, 5)[0][0]).save(image)
    options = ("--targets", "pca:0", "--out", folder, *["--force"] * force)
    return pcacam("explain", folder.parent / "run", image, *options)


def _reproduce(pcacam, folder, force):
    return pcacam("reproduce", "figure4", "--out", folder, *["--force"] * force)


WRITERS = [
    (_plot, "figure.png"),
    (_save, "head.safetensors"),
    (_verify, "certificate.json"),
    (_explain, "image.png"),
    (_explain, "image.npz"),
    (_explain, "image.json"),
    (_reproduce, "reproduction_figure4.md"),
    (_reproduce, "reproduction_figure4.json"),
    (_reproduce, "figures_figure4/figure4.png"),
]
"""Every command and function that writes to a place of the user's choice, and each file that it writes there."""


@pytest.fixture(params=WRITERS, ids=[f"{write.__name__[1:]}-{name}" for write, name in WRITERS])
def writer(request, pcacam, run, tmp_path, small_world, monkeypatch):
    """Return a function that writes, and the path of one file that it writes to an existing folder."""
    rows = (Comparison("a map", "float32", "reverse", 0.0, 1e-5), Comparison("a map", "float64", "reverse", 0.0, 1e-5))
    monkeypatch.setattr(commands, "default_cases", lambda: iter(()))
    monkeypatch.setattr(commands, "certify", lambda cases, progress: Certificate(rows))
    write, name = request.param
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    return lambda force=False: write(pcacam, tmp_path / "out", force), path


def test_a_file_of_the_user_is_kept_unless_it_is_to_be_replaced(writer):
    write, path = writer
    path.write_bytes(FOREIGN)
    assert_input_error(write(), f"{path.name} exists, and it is not .*(--force|overwrite=True)")
    assert path.read_bytes() == FOREIGN
    assert entries(path.parent) == {path.name}
    assert write(force=True)[0] == 0
    assert path.read_bytes() != FOREIGN


def test_an_earlier_output_is_replaced_until_it_is_changed(writer):
    write, path = writer
    assert write()[0] == 0
    written = path.read_bytes()
    assert write()[0] == 0
    if path.suffix == ".safetensors":
        return
    path.write_bytes(changed := written[:-30] + FOREIGN + written[-30:])
    assert_input_error(write(), f"{path.name} exists, and it is not .* or it was changed since")
    assert path.read_bytes() == changed


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_a_file_of_the_user_is_kept(writer, link, tmp_path):
    write, path = writer
    (tmp_path / "precious").write_bytes(FOREIGN)
    link(tmp_path / "precious", path)
    assert_input_error(write(), f"{path.name} exists, and it is not")
    assert (tmp_path / "precious").read_bytes() == path.read_bytes() == FOREIGN


def test_what_is_no_regular_file_is_never_replaced(writer):
    write, path = writer
    os.mkfifo(path)
    assert_input_error(write(force=True), f"{path.name} is not a regular file")
    path.unlink()
    path.mkdir()
    assert_input_error(write(force=True), f"{path.name} is a folder")
    assert path.is_dir()


def digests(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize("link", [shutil.copy, os.symlink, os.link])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_explain_never_replaces_an_image_that_it_reads(pcacam, run, images, tmp_path, small_world, link, force):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    out.mkdir()
    scan = Path(shutil.copy(images["grey"], photos / "scan.png"))
    if link is shutil.copy:
        out = photos
    else:
        link(scan, out / "scan.png")
    before = digests(photos)
    assert_input_error(pcacam("explain", run, scan, "--out", out, *force), "scan.png is an input, which the output")
    assert_input_error(pcacam("explain", run, photos, "--out", out, *force), "scan.png is an input, which the output")
    assert digests(photos) == before


@pytest.mark.parametrize("name", ["config.png", "metrics.png", "verification.png", "report.png"])
def test_explain_never_replaces_a_file_of_the_run(pcacam, run, images, tmp_path, small_world, name):
    before = digests(run)
    image = shutil.copy(images["grey"], tmp_path / name)
    for force in ([], ["--force"]):
        assert_input_error(pcacam("explain", run, image, "--out", run, *force), "is an input, which the output")
    assert digests(run) == before


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "model.safetensors", "verification_point.safetensors"])
def test_verify_never_replaces_a_file_of_the_run(pcacam, run, tmp_path, name):
    before = digests(run)
    (tmp_path / "linked").hardlink_to(run / name)
    for out in (run / name, run / "figures" / ".." / name, tmp_path / "linked"):
        for force in ([], ["--force"]):
            assert_input_error(pcacam("verify", run, "--out", out, *force), "is an input, which the output")
    assert digests(run) == before


def test_the_explanation_of_another_image_is_kept(pcacam, run, images, tmp_path, small_world, monkeypatch):
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / "grey.png"
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(other)
    assert pcacam("explain", run, images["grey"], "--targets", "pca:0")[0] == 0
    before = digests(run)
    assert_input_error(
        pcacam("explain", run, other, "--targets", "pca:0"), "grey.json explains another image, .*--force"
    )
    assert digests(run) == before
    monkeypatch.chdir(images["grey"].parent)
    assert pcacam("explain", run, "grey.png", "--targets", "pca:0")[0] == 0
    before = digests(run)
    monkeypatch.chdir(tmp_path / "b")
    assert_input_error(pcacam("explain", run, "grey.png", "--targets", "pca:0"), "explains another image")
    assert digests(run) == before
    shutil.copy(other, images["grey"])  # the same image, edited
    assert pcacam("explain", run, images["grey"], "--targets", "pca:0")[0] == 0
    assert digests(run) != before


KEPT = {
    "other configuration": ("config.json", b'{"schema": 1}'),
    "other file": ("notes.txt", FOREIGN),
    "figure of the user": ("figures/figure8.png", FOREIGN),
    "changed figure": ("figures/grid.png", FOREIGN),
    "note beside explanations": ("explanations/notes.md", FOREIGN),
    "folder of the user": ("explanations/a/b/c.png", FOREIGN),
}


@pytest.mark.parametrize("command", ["fit", "demo"])
@pytest.mark.parametrize("case", KEPT)
def test_a_run_replaces_only_a_run_without_other_files(pcacam, run, data, monkeypatch, command, case):
    monkeypatch.setattr(make_run, "fit", lambda *_, **__: pytest.fail("fitting was started"))
    name, content = KEPT[case]
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_bytes(content)
    before = digests(run)
    arguments = ["--data", data, *QUICK] if command == "fit" else []
    pattern = "contains files that no run has written" if name != "config.json" else "config.json"
    assert_input_error(pcacam(command, *arguments, "--out", run), pattern)
    assert digests(run) == before


def test_a_file_that_appears_during_a_fit_is_kept(pcacam, run, data, fitted, monkeypatch):
    def fit(*_, **__):
        (run / "explanations").mkdir()
        (run / "explanations" / "notes.md").write_bytes(FOREIGN)
        return fitted

    monkeypatch.setattr(make_run, "fit", fit)
    monkeypatch.setattr(make_run, "draw_figures", lambda *_: [])
    before = digests(run)
    code, _, stderr = pcacam("fit", "--data", data, "--out", run, *QUICK)
    assert code == 2
    assert "explanations/notes.md" in stderr
    assert digests(run) == {**before, run / "explanations" / "notes.md": FOREIGN}


def test_saving_a_fitted_run_keeps_other_files(fitted, tmp_path):
    from pcacam_jax.runs.run import save as save_run

    for name in ("metrics.json", "split.json", "reference.safetensors"):
        (tmp_path / name).write_bytes(FOREIGN)
        with pytest.raises(InputError, match=rf"{name} exists, but is not part of a run"):
            save_run(fitted, tmp_path)
        assert digests(tmp_path) == {tmp_path / name: FOREIGN}
        (tmp_path / name).unlink()
    for _ in range(2):
        save_run(fitted, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["schema"]


def test_weights_of_the_user_in_the_cache_folder_are_kept(small_params, tmp_path, monkeypatch):
    from pcacam_jax.nets import weights

    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path))
    path = tmp_path / weights.CACHE_NAME
    path.write_bytes(FOREIGN)
    arrays = {f"{layer}/{part}": np.asarray(a) for layer, parts in small_params.items() for part, a in parts.items()}
    with pytest.warns(UserWarning, match="not cached: .* exists, and pcacam_jax did not write it"):
        weights._write_cache(arrays)
    assert path.read_bytes() == FOREIGN

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support.marks import more
from support.small_runs import CLASSES, QUICK, entries

from pcacam_jax.cli import commands
from pcacam_jax.core import progress
from pcacam_jax.core.written import sealed
from pcacam_jax.runs import make_run
from pcacam_jax.runs import run as run_module
from pcacam_jax.runs.run import load
from pcacam_jax.verification.certificate import Certificate, Comparison

pytestmark = [
    pytest.mark.filterwarnings("ignore:the CNN's macro F1"),  # after the three epochs of QUICK
    pytest.mark.filterwarnings("ignore:there are fewer than 5 test images"),
]


def test_fit_writes_a_run_that_explain_and_verify_read(pcacam, data, images, tmp_path, small_world):
    out = tmp_path / "out"
    code, stdout, stderr = pcacam("fit", "--data", data, "--out", out, *QUICK)
    assert code == 0
    for word in ("macro F1", "cnn", "svm_linear", "svm_rbf", "float32", "float64", f"wrote {out} in"):
        assert word in stdout + stderr
    assert entries(out) == {*make_run.RUN_FILES} - {"explanations"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert load(out).class_names == tuple(sorted(CLASSES))
    code, stdout, _ = pcacam("explain", out, images["grey"], images["rgba"], "--json")
    assert code == 0
    assert [report["image"] for report in json.loads(stdout)] == [str(images["grey"]), str(images["rgba"])]
    assert pcacam("verify", out)[0] == 0


@pytest.mark.exhaustive
def test_a_run_replaces_an_earlier_one_and_only_json_is_printed(pcacam, data, run, small_world, monkeypatch):
    monkeypatch.setattr(progress, "REPORT_INTERVAL", 0.0)
    (run / "explanations").mkdir()
    code, stdout, stderr = pcacam("fit", "--data", data, "--out", run, *QUICK, "--json")
    assert code == 0
    assert json.loads(stdout) == json.loads((run / "report.json").read_text())
    assert "training" in stderr
    assert "explanations" not in entries(run)
    assert load(run).config.epochs == 3


@pytest.mark.exhaustive
@pytest.mark.parametrize(("error", "options"), [(1.0, ["--json"]), (float("nan"), [])])
def test_a_run_whose_certificate_fails_is_written_and_reported(
    pcacam, data, tmp_path, small_world, monkeypatch, error, options
):
    failing = Certificate(tuple(Comparison("head", dtype, "reverse", error, 1e-5) for dtype in ("float32", "float64")))
    monkeypatch.setattr("pcacam_jax.fitting.fit.verify", lambda *_, **__: failing)
    code, _, stderr = pcacam("fit", "--data", data, "--out", tmp_path / "out", *QUICK, *options)
    assert code == 1
    assert "fail their verification (head in float32 against reverse mode: " in stderr
    assert ", and 1 other); see" in stderr
    assert json.loads((tmp_path / "out" / "report.json").read_text())["verification"]["passed"] is False


def test_explain_writes_a_picture_maps_and_values(pcacam, run, images, small_world):
    code, stdout, stderr = pcacam("explain", run, images["grey"], images["rgba"])
    assert code == 0
    assert "svm_rbf:predicted" in stdout
    assert "component 1" in stdout
    assert "weights of components 1 to 3" in stdout
    assert f"wrote 2 x (.png, .npz, .json) to {run / 'explanations'}" in stderr
    out = run / "explanations"
    assert entries(out) == {f"{name}.{kind}" for name in ("grey", "rgba") for kind in ("png", "npz", "json")}
    report = json.loads((out / "grey.json").read_text())
    assert [row["target"] for row in report["targets"]][:3] == [
        "cnn:predicted",
        "svm_linear:predicted",
        "svm_rbf:predicted",
    ]
    assert report["method"] == "hirescam"
    with np.load(out / "grey.npz") as arrays:
        assert arrays["positive"].shape == arrays["negative"].shape == (6, 2, 2)
        assert arrays["targets"].tolist() == [row["target"] for row in report["targets"]]
        assert arrays["labels"].tolist() == [row["label"] for row in report["targets"]]
        np.testing.assert_allclose(arrays["values"], [row["value"] for row in report["targets"]], rtol=1e-6)
        signed = arrays["positive"] - arrays["negative"]
    # The SVM's map is exactly this mixture of the components' maps.
    mixed = np.tensordot(report["mixture"]["svm_rbf:predicted"], signed[3:], axes=1)
    np.testing.assert_allclose(signed[2], mixed, rtol=1e-3, atol=1e-5 * np.abs(signed[3:]).max())
    with Image.open(out / "grey.png") as picture:
        assert min(picture.size) > 300


@pytest.mark.parametrize("backend", ["reverse", more("forward"), more("finite_difference")])
def test_backend_and_targets_are_used(pcacam, run, images, tmp_path, small_world, backend):
    out = tmp_path / "maps"
    arguments = ("explain", run, images["grey"], "--targets", "pca:1", "cnn:left", "--out", out, "--backend", backend)
    code, stdout, _ = pcacam(*arguments, "--json")
    assert code == 0
    (report,) = json.loads(stdout)
    assert report["backend"] == backend
    assert [row["target"] for row in report["targets"]] == ["pca:1", "cnn:left"]


def test_verify_writes_and_prints_the_certificate_and_shows_progress(pcacam, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "REPORT_INTERVAL", 0.0)
    shown = []
    rows = tuple(Comparison("a map", dtype, "reverse", 1e-9, 1e-5) for dtype in ("float32", "float64"))
    monkeypatch.setattr(commands, "default_cases", lambda: iter([("a map", None, None), ("[b] map", None, None)]))

    def certify(cases, progress):
        for name, *_ in cases:
            shown.append(name)
            progress(name)
        return Certificate(rows)

    monkeypatch.setattr(commands, "certify", certify)
    out = tmp_path / "new" / "certificate.json"
    code, stdout, stderr = pcacam("verify", "--out", out)
    assert code == 0
    assert shown == ["a map", "[b] map"]
    assert "certificate 2 of 2" in stderr
    for word in ("a map", "float32", "float64", "reverse", "1.0e-09"):
        assert word in stdout
    assert json.loads(out.read_text()) == sealed(Certificate(rows).as_dict())
    code, stdout, _ = pcacam("verify", "--out", out, "--json")
    assert json.loads(stdout) == json.loads(out.read_text())


@pytest.mark.parametrize("error", [2e-5, float("inf")])
def test_verify_exits_with_1_if_a_tolerance_is_exceeded(pcacam, tmp_path, monkeypatch, error):
    rows = (Comparison("good", "float32", "reverse", 0.0, 1e-5), Comparison("bad", "float32", "forward", error, 1e-5))
    monkeypatch.setattr(commands, "certify", lambda cases, progress: Certificate(rows))
    out = tmp_path / "certificate.json"
    code, stdout, stderr = pcacam("verify", "--out", out)
    assert code == 1
    assert "> 1e-05" in stdout
    outcome = f"relative error {error:.1e} exceeds the tolerance 1.0e-05"
    assert f"1 of 2 comparisons fail (bad in float32 against forward mode: {outcome}); see {out}" in stderr
    assert json.loads(out.read_text())["passed"] is False


def test_verify_detects_a_wrong_closed_form(pcacam, run, monkeypatch):
    from pcacam_jax.stages import Affine

    correct = Affine.pull_back
    monkeypatch.setattr(Affine, "pull_back", lambda self, saved, rows: 1.001 * correct(self, saved, rows))
    code, stdout, _ = pcacam("verify", run, "--json")
    assert code == 1
    failed = {row["name"] for row in json.loads(stdout)["comparisons"] if not row["passed"]}
    assert failed == {"head: pca", "head: svm_linear", "head: svm_rbf"}
    assert json.loads((run / "verification.json").read_text())["passed"] is False


@pytest.mark.parametrize("command", [(), ("demo",), ("fit",), ("explain",), ("verify",)])
def test_every_command_has_help(pcacam, command):
    code, stdout, stderr = pcacam(*command, "--help")
    assert code == 0
    assert "usage: pcacam" in stdout
    if command:
        assert "--json" in stdout
    assert stderr == ""


def test_names_with_brackets_are_printed_unchanged(pcacam, run, images, small_world):
    path = images["grey"].rename(images["grey"].with_name("[red]grey[-1].png"))
    code, stdout, stderr = pcacam("explain", run, path, "--targets", "pca:0", "--out", run.parent / "[bold]")
    assert code == 0
    assert "[red]grey[-1].png" in stdout.replace("\n", "")
    assert "[bold]" in stderr


def test_a_run_stores_the_schema_version_of_the_module(run):
    assert json.loads((run / "config.json").read_text())["schema"] == run_module.SCHEMA


def test_help_imports_no_large_library():
    script = (
        "import sys\nsys.argv = ['pcacam', '--help']\n"
        "from pcacam_jax import cli\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('flax', 'sklearn', 'matplotlib', 'optax', 'tensorflow_datasets', 'PIL') "
        "if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.stderr.strip() == "[]"

"""The demo, run once from the command line with an empty cache and the published weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.small_runs import entries

import pcacam_jax
from pcacam_jax.data import EMBEDDED_SAMPLE, read_dataset
from pcacam_jax.runs.make_run import RUN_FILES

pytestmark = pytest.mark.exhaustive


def test_the_report_is_written_and_printed(sample_run):
    report = sample_run.report
    assert json.loads((sample_run.out / "report.json").read_text()) == report
    assert {"features", "training", "estimators", "figures", "total"} <= report["timings"].keys()
    assert min(report["timings"].values()) > 0
    assert report["timings"]["total"] >= report["timings"]["features"] + report["timings"]["training"]
    assert "Warning" not in sample_run.progress
    assert entries(sample_run.out) == {*RUN_FILES} - {"explanations", "split.json"}


def test_the_classifiers_have_learnt(sample_run):
    report = sample_run.report
    for classifier in ("cnn", "svm_linear", "svm_rbf"):
        assert 0.75 <= report["metrics"][classifier]["test_f1"] <= report["metrics"][classifier]["train_f1"] <= 1
    ratios = report["explained_variance_ratio"]
    assert ratios == sorted(ratios, reverse=True)
    assert 0.5 < sum(ratios) <= 1
    assert max(report["parity"].values()) <= 1e-10


def test_the_certificate_holds(sample_run):
    report = sample_run.report
    assert report["verification"]["passed"] is True
    assert report["verification"]["float32"]["max_relative_error"] <= 1e-5
    assert report["verification"]["float64"]["max_relative_error"] <= 1e-12
    assert json.loads((sample_run.out / "verification.json").read_text())["passed"] is True


def test_every_figure_is_a_png_image(sample_run):
    report = sample_run.report
    names = {Path(figure).stem for figure in report["figures"]}
    assert names == {
        "grid",
        "learning_curve",
        "contribution_ratios",
        "feature_space",
        "influence",
        "component_cards",
        "confusion",
    }
    for figure in report["figures"]:
        with Image.open(sample_run.out / figure) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 400
            assert np.ptp(np.asarray(picture.convert("L"))) > 100


def test_the_run_explains_an_image(sample_run, monkeypatch):
    monkeypatch.setenv("PCACAM_CACHE", str(sample_run.cache))
    run = pcacam_jax.load(sample_run.out)
    test = read_dataset(EMBEDDED_SAMPLE).test
    rows = np.arange(0, len(test), 30)
    explained = run.explain(test.images(rows, 96), ["svm_rbf:predicted", "pca"])
    assert explained.positive.shape == (len(rows), 4, 6, 6)
    truth = [run.class_names[label] for label in test.labels[rows]]
    assert np.mean(explained.labels[:, 0] == truth) >= 0.5


def test_no_other_files_are_left(sample_run):
    folder = sample_run.out.parent
    assert {path.name for path in folder.iterdir()} == {"out", "cache", "lock", "finished.json"}
    assert not list(folder.rglob(".*"))

"""Notebooks run from top to bottom, and each rendered .ipynb holds the cells of its script and its outputs."""

import os
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbconvert.preprocessors import ExecutePreprocessor

FOLDER = Path(__file__).parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
WITH_SAMPLE = ("01_tour", "06_which_cam")
"""The notebooks that use the features of the demo; they come last, when these are there."""


@pytest.mark.exhaustive
@pytest.mark.parametrize("script", sorted(SCRIPTS, key=lambda script: script.stem in WITH_SAMPLE), ids=lambda s: s.stem)
@pytest.mark.filterwarnings("default")
def test_script_runs(script, request, monkeypatch):
    cache = Path(os.environ["PCACAM_TEST_SESSION"]) / "notebooks"
    if script.stem in WITH_SAMPLE:
        cache = request.getfixturevalue("sample_run").cache
    monkeypatch.setenv("PCACAM_CACHE", str(cache))
    notebook = jupytext.read(script)
    ExecutePreprocessor(timeout=900, kernel_name="python3").preprocess(notebook, {"metadata": {"path": str(FOLDER)}})


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_rendered_notebook_is_of_this_script(script):
    rendered = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    own = jupytext.read(script)
    assert [(c.cell_type, c.source) for c in rendered.cells] == [(c.cell_type, c.source) for c in own.cells]
    code = [cell for cell in rendered.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code)
    assert not [out for cell in code for out in cell.get("outputs", []) if out.output_type == "error"]
